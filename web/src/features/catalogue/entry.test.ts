import { expect, test } from 'vitest'
import type { Image } from '@/api/types'
import { EMPTY_ENTRY, editionProblem, entryOf, NONE, patchOf } from './entry'

test('a family and a version go together', () => {
  expect(editionProblem({ family: '', version: ' ' })).toEqual({ family: null, version: null })
  expect(editionProblem({ family: 'debian-12', version: '1' })).toEqual({ family: null, version: null })
  expect(editionProblem({ family: 'debian-12', version: '' }).version).toContain('version')
  expect(editionProblem({ family: '', version: '1' }).family).toContain('family')
})

test('what is emptied is removed', () => {
  const image = {
    name: 'Debian 12',
    description: 'With a kernel.',
    os_type: 'linux',
    cloud_init: false,
    catalogue: {
      media_group_id: 'mgr_1',
      family: 'debian-12',
      family_version: '12.9',
      latest: true,
      deprecation: null,
      hidden: true,
    },
  } as Image
  const entry = entryOf(image)
  expect(patchOf(entry)).toEqual({
    name: 'Debian 12',
    description: 'With a kernel.',
    os_type: 'linux',
    cloud_init: false,
    media_group_id: 'mgr_1',
    family: 'debian-12',
    family_version: '12.9',
    hidden: true,
  })
  expect(patchOf({ ...entry, group: NONE, family: '', version: '' })).toMatchObject({
    media_group_id: null,
    family: null,
  })
  expect(patchOf({ ...EMPTY_ENTRY, name: ' x ' })).toMatchObject({ name: 'x', hidden: false })
})
