import { describe, expect, it } from 'vitest'
import { ENDS, endOf } from './states'

describe('the end of a share', () => {
  const now = Date.parse('2026-02-27T12:00:00Z')

  it('is counted in days from now', () => {
    expect(endOf('never', now)).toBeNull()
    expect(endOf('1', now)).toBe('2026-02-28T12:00:00.000Z')
    expect(endOf('30', now)).toBe('2026-03-29T12:00:00.000Z')
  })

  it('is never for what cannot be chosen', () => {
    expect(endOf('0', now)).toBeNull()
    expect(ENDS.map(({ id }) => id)).toContain('365')
  })
})
