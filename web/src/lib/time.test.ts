import { expect, test } from 'vitest'
import { formatInstant, formatSince, secondsBetween, withLocalTimes } from './time'

const NOW = Date.parse('2026-11-20T12:00:00Z')

test.each([
  ['2026-11-20T11:59:31Z', 'just now'],
  ['2026-11-20T12:00:10Z', 'just now'],
  ['2026-11-20T11:55:00Z', '5 minutes ago'],
  ['2026-11-20T09:01:00Z', '2 hours ago'],
  ['2026-11-19T11:00:00Z', 'yesterday'],
  ['2026-11-16T11:00:00Z', '4 days ago'],
])('%s is %s', (at, text) => expect(formatSince(at, NOW)).toBe(text))

test('an instant more than a week ago is shown as its date', () => {
  expect(formatSince('2026-01-05T12:00:00Z', NOW)).toBe(formatInstant('2026-01-05T12:00:00Z'))
  expect(formatInstant('2026-01-05T12:00:00Z')).toContain('Jan 2026')
})

test('a text that is not an instant is shown unchanged', () => {
  expect(formatSince('soon', NOW)).toBe('soon')
  expect(formatInstant('soon')).toBe('soon')
})

test('a duration is never negative, and unknown for what is not an instant', () => {
  expect(secondsBetween('2026-11-20T11:59:00Z', '2026-11-20T11:59:05Z')).toBe(5)
  expect(secondsBetween('2026-11-20T12:00:09Z', '2026-11-20T12:00:00Z')).toBe(0)
  expect(secondsBetween('soon', '2026-11-20T12:00:00Z')).toBeNull()
})

test('instants in a text are shown in the reader’s time zone', () => {
  const at = '2026-11-20T12:00:00Z'
  expect(withLocalTimes(`the next attempt at ${at}`)).toBe(`the next attempt at ${formatInstant(at)}`)
  expect(withLocalTimes('the tasks before it')).toBe('the tasks before it')
})
