import { describe, expect, it } from 'vitest'
import { fieldProblem, moreProblem, NO_OWNED_STORAGE, ownedFields, ownedStorageOf } from './owned-storage'

const TYPED = {
  settings: { bucket: ' disks ', 'access-key': 'AK', 'secret-key': 's3cret', region: '' },
  key: ' out/web.vhd ',
  more: 'addressing=virtual-host\n\n private-networks=true ',
}

describe('a storage of one’s own', () => {
  it('is sent with its secrets apart', () => {
    expect(ownedStorageOf('owned-s3', TYPED)).toEqual({
      kind: 's3',
      settings: {
        bucket: 'disks',
        'access-key': 'AK',
        addressing: 'virtual-host',
        'private-networks': 'true',
      },
      secrets: { 'secret-key': 's3cret' },
      key: 'out/web.vhd',
    })
    expect(ownedStorageOf('owned-swift', NO_OWNED_STORAGE)).toEqual({
      kind: 'swift',
      settings: {},
      secrets: {},
    })
  })

  it('says what is missing', () => {
    const missing = ownedFields('owned-s3').filter((field) => fieldProblem(field, NO_OWNED_STORAGE))
    expect(missing.map(({ setting }) => setting)).toEqual(['bucket', 'access-key', 'secret-key'])
    expect(ownedFields('owned-s3').every((field) => fieldProblem(field, TYPED) === null)).toBe(true)
  })

  it('takes further settings as names with values', () => {
    expect(moreProblem(TYPED)).toBeNull()
    expect(moreProblem({ ...TYPED, more: 'a=b\nprivate networks' })).toContain('private networks')
    expect(moreProblem({ ...TYPED, more: 'part-size=' })).not.toBeNull()
  })
})
