import { expect, it } from 'vitest'
import { fieldsOf } from './schema-fields'
import { secretNames, secretsPatch } from './secrets'

const FIELDS = fieldsOf({
  properties: { endpoint: { type: 'string' }, 'secret-key': { type: 'string', writeOnly: true } },
})

it('secrets are those of the kind, and those that are set', () => {
  const changed_at = '2026-11-30T02:00:00Z'
  const secrets = [
    { name: 'old-token', changed_at },
    { name: 'secret-key', changed_at },
  ]
  expect(secretNames({ secrets }, FIELDS)).toEqual(['secret-key', 'old-token'])
  expect(secretNames({ secrets: [] }, FIELDS)).toEqual(['secret-key'])
})

it('only what was typed or removed is sent', () => {
  const names = ['secret-key', 'session-token', 'old-token']
  expect(secretsPatch(names, { 'secret-key': 'abc', 'session-token': '' }, ['old-token'])).toEqual({
    'secret-key': 'abc',
    'old-token': null,
  })
  expect(secretsPatch(names, { 'secret-key': 'abc' }, ['secret-key'])).toEqual({ 'secret-key': null })
  expect(secretsPatch(names, {}, [])).toEqual({})
})
