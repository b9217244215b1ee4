import { describe, expect, test } from 'vitest'
import { ANY_OS, osChoices, osLabel, osOf } from './labels'

describe('the family of an ISO', () => {
  test('is one of the choices, or none', () => {
    expect(osOf('windows')).toBe('windows')
    expect(osOf(ANY_OS)).toBeNull()
    expect(osChoices.map(({ id }) => id)).toEqual([ANY_OS, 'linux', 'windows', 'bsd', 'other'])
  })

  test('has a label, unless it is not said', () => {
    expect(osLabel('bsd')).toBe('BSD')
    expect(osLabel(null)).toBeNull()
  })
})
