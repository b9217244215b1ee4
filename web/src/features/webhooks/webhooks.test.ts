import { expect, test } from 'vitest'
import type { Webhook } from '@/api/types'
import { addressProblem, eventsProblem, eventsText, parseEvents, stateOf } from './webhooks'

test('an address is one of the web', () => {
  expect(addressProblem(' https://hooks.example.com/in?key=1 ')).toBeNull()
  for (const wrong of ['', 'hooks.example.com', 'ftp://h', 'https://u:p@h/', 'https://h/#x']) {
    expect(addressProblem(wrong), wrong).not.toBeNull()
  }
})

test('events are kinds and groups', () => {
  expect(parseEvents(' image.*, export.changed\nbilling.month_closed ')).toEqual([
    'image.*',
    'export.changed',
    'billing.month_closed',
  ])
  expect(eventsProblem('image.*, task.changed')).toBeNull()
  expect(eventsProblem('')).toBeNull()
  expect(eventsProblem('image.*, images')).toContain('images is no event')
  expect(eventsText({ events: [] })).toBe('All')
})

test('a webhook says what becomes of its messages', () => {
  const webhook = (enabled: boolean, given_up: boolean, failures: number) =>
    stateOf({ enabled, given_up, failures } as Webhook)
  expect([
    webhook(true, false, 0),
    webhook(true, false, 2),
    webhook(false, false, 0),
    webhook(false, true, 9),
  ]).toEqual(['On', 'Failing', 'Off', 'Given up'])
})
