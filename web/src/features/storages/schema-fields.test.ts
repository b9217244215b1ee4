import { describe, expect, it } from 'vitest'
import { fieldsOf, labelOf, parseLines, valuesOf } from './schema-fields'

const SCHEMA = {
  type: 'object',
  properties: {
    'session-token': { type: 'string', writeOnly: true },
    connections: { type: 'integer', default: 8, description: 'Calls at once.' },
    style: { type: 'string', enum: ['path', 'virtual'] },
    endpoint: { type: 'string', title: 'Endpoint', examples: ['https://s3.example'], 'x-order': 1 },
    checksums: { type: 'boolean', default: true },
  },
  required: ['endpoint'],
}

describe('the form of a kind', () => {
  it('has a field for each setting, in the order of the schema', () => {
    const fields = fieldsOf(SCHEMA)
    expect(fields.map((field) => field.name)).toEqual([
      'endpoint',
      'session-token',
      'connections',
      'style',
      'checksums',
    ])
    expect(fields[0]).toMatchObject({
      label: 'Endpoint',
      isRequired: true,
      isSecret: false,
      placeholder: 'https://s3.example',
      initial: '',
    })
    expect(fields[1]).toMatchObject({ label: 'Session token', isSecret: true, isRequired: false })
    expect(fields[2]).toMatchObject({ isNumber: true, initial: '8', help: 'Calls at once.' })
    expect(fields[3]).toMatchObject({ choices: ['path', 'virtual'], initial: 'path' })
    expect(fields[4]).toMatchObject({ isBoolean: true, initial: 'true' })
  })

  it('sends secrets apart and leaves out what is empty', () => {
    const typed = { endpoint: 'https://a', 'session-token': 'abc', connections: '' }
    expect(valuesOf(fieldsOf(SCHEMA), typed)).toEqual({
      settings: { endpoint: 'https://a', style: 'path', checksums: 'true' },
      secrets: { 'session-token': 'abc' },
    })
  })

  it('takes lines where there is no schema', () => {
    expect(parseLines('path = /srv/a=b\n\nmode=fast')).toEqual({ path: '/srv/a=b', mode: 'fast' })
    expect(parseLines('')).toEqual({})
    expect(parseLines('path')).toBeNull()
    expect(parseLines('=x')).toBeNull()
  })

  it('is empty for a schema that is none', () => {
    for (const schema of [null, undefined, 'text', [], { properties: [] }]) {
      expect(fieldsOf(schema)).toEqual([])
    }
    expect(labelOf('ca_file')).toBe('Ca file')
  })
})
