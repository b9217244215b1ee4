import { expect, test } from 'vitest'
import type { Rate } from '@/api/types'
import { canEnd, endOf, NEW_RATE, pricesOf, rateProblems, rateText, stateOf, termsOf } from './rates'

test('a rate of images has its own prices', () => {
  const typed = { ...NEW_RATE, gb_month: '0.05', free_gib: '10' }
  expect(rateProblems(typed)).toEqual({})
  const terms = termsOf(typed)
  expect(terms).toMatchObject({ kind: 'image_storage', gb_month: '0.05', free_bytes: 10 * 2 ** 30 })
  expect(terms).not.toHaveProperty('vcpu_hour')
  expect(rateText({ terms })).toBe('0.05 EUR per GiB-month of 730 hours, 10 GiB free')
})

test('a rate of instances has its own prices', () => {
  const typed = { ...NEW_RATE, kind: 'instance', vcpu_hour: '0.01', memory_gb_hour: 'x', currency: 'eur' }
  expect(Object.keys(rateProblems(typed)).sort()).toEqual(['currency', 'disk_gb_hour', 'memory_gb_hour'])
  expect(pricesOf('instance')).not.toContain('gb_month')
})

test('of the versions that have started, the latest is the current one', () => {
  const version = (effective_from: string, account_id: string | null = null): Rate => ({
    id: effective_from,
    location_id: 'loc',
    account_id,
    effective_from,
    terms: termsOf({ ...NEW_RATE, gb_month: '1' }),
    ends: false,
    created_at: effective_from,
  })
  const rates = ['2026-12-01T00:00:00Z', '2026-11-01T00:00:00Z', '2026-10-01T00:00:00Z'].map((at) =>
    version(at),
  )
  const all = [...rates, version('2026-09-01T00:00:00Z', 'acc')]
  const now = Date.parse('2026-11-15T00:00:00Z')
  expect(all.map((rate) => stateOf(rate, all, now))).toEqual(['Later', 'Current', 'Past', 'Current'])
  expect(all.map((rate) => canEnd(rate, all, now))).toEqual([true, true, false, true])
  expect(all.map((rate) => endOf(rate, now).effective_from)).toEqual([
    '2026-12-01T00:00:00Z',
    undefined,
    undefined,
    undefined,
  ])
  expect(endOf(all[3] as Rate, now).account_id).toBe('acc')
})
