import { describe, expect, test } from 'vitest'
import { FORMS, formName, formOf, statusOf } from './labels'

describe('the form of an export', () => {
  test('is one of those that can be chosen, with its options', () => {
    expect(formOf('vhd-fixed').body).toEqual({ format: 'vhd', options: { variant: 'fixed' } })
    expect(formOf('nothing').id).toBe(FORMS[0].id)
    expect(new Set(FORMS.map(({ id }) => id)).size).toBe(FORMS.length)
  })

  test('has the name of the choice, also of one that only other clients make', () => {
    const none = { variant: null, compression: null }
    expect(formName({ ...none, format: 'vhd', variant: 'fixed' })).toBe('VHD, fixed')
    expect(formName({ ...none, format: 'ova' })).toBe('OVA')
    expect(formName({ ...none, format: 'qcow2', compression: 'zstd' })).toBe('qcow2, zstd')
  })

  test('every status has a name', () => {
    expect(statusOf({ status: 'available' })).toEqual({ name: 'Ready', tone: 'good' })
    expect(statusOf({ status: 'error' }).tone).toBe('bad')
  })
})
