import { expect, it } from 'vitest'
import type { StorageTestStep } from '@/api/types'
import { isPending, settingProblems, stepLines } from './connection-test'

const step = (values: Partial<StorageTestStep>): StorageTestStep => ({
  step: 'open',
  status: 'passed',
  duration_ms: 3,
  detail: null,
  code: null,
  setting: null,
  ...values,
})

it('a setting is marked with the first failure that names it', () => {
  const steps = [
    step({ step: 'settings', setting: 'endpoint', detail: 'resolves to two addresses' }),
    step({ status: 'failed', setting: 'bucket', detail: 'there is no bucket "a"; make it' }),
    step({ step: 'write', status: 'failed', setting: 'bucket', detail: 'later' }),
    step({ step: 'read', status: 'failed', detail: 'the connection was closed' }),
    step({ step: 'gone', status: 'failed', setting: 'region' }),
  ]
  expect(settingProblems({ passed: false, steps })).toEqual({
    bucket: 'There is no bucket "a"; make it.',
    region: 'The connection test failed because of it.',
  })
})

it('a test is pending until its result is there', () => {
  const result = { passed: true, steps: [] }
  expect(isPending({ state: 'queued', storage_test: null })).toBe(true)
  expect(isPending({ state: 'succeeded', storage_test: null })).toBe(true)
  expect(isPending({ state: 'succeeded', storage_test: result })).toBe(false)
  expect(isPending({ state: 'failed', storage_test: null })).toBe(false)
})

it('steps that were skipped for the same reason share a line', () => {
  const skipped = { status: 'skipped', detail: 'an earlier step failed' } as const
  const steps = [
    step({ step: 'settings', status: 'skipped', detail: 'the plugin has no check of its own' }),
    step({ step: 'open', status: 'failed' }),
    step({ step: 'space', ...skipped }),
    step({ step: 'write', ...skipped }),
  ]
  const lines = stepLines({ passed: false, steps })
  expect(lines.map((line) => line.steps)).toEqual([['settings'], ['open'], ['space', 'write']])
})
