import { describe, expect, test } from 'vitest'
import type { Image, MediaGroup } from '@/api/types'
import { compareVersions, sectionsOf, versionLabel } from './stock'

interface Given {
  group?: string
  version?: string
  latest?: boolean
  deprecated?: boolean
  location?: string
}

const image = (id: string, given: Given = {}) =>
  ({
    id,
    name: id,
    location_id: given.location ?? 'here',
    catalogue: {
      media_group_id: given.group ?? null,
      family: given.version ? 'debian-12' : null,
      family_version: given.version ?? null,
      latest: given.latest ?? false,
      deprecation: given.deprecated ? { notice: 'old', replacement_id: null } : null,
      hidden: false,
    },
  }) as Image

const group = (id: string) => ({ id, label: id, description: '' }) as MediaGroup

describe('stock images', () => {
  test('versions are compared by their numbers, as the server does', () => {
    const ascending = ['1', '1.0', '1.0-rc1', '1.9', '1.10', '2', '12.9', '12.9-1', '12.10', '20241001', 'a']
    for (const [index, version] of ascending.slice(1).entries()) {
      expect(compareVersions(ascending[index] ?? '', version)).toBeLessThan(0)
      expect(compareVersions(version, ascending[index] ?? '')).toBeGreaterThan(0)
    }
    expect(compareVersions('12.7', '12.7')).toBe(0)
  })

  test('groups come in their order, empty ones not at all, and images without a group last', () => {
    const images = [image('plain'), image('bsd-1', { group: 'BSD' }), image('linux-1', { group: 'Linux' })]
    const sections = sectionsOf(images, [group('Linux'), group('Windows'), group('BSD')])
    expect(sections.map(({ label }) => label)).toEqual(['Linux', 'BSD', null])
    expect(sections.map(({ entries }) => entries.map(({ first }) => first.id))).toEqual([
      ['linux-1'],
      ['bsd-1'],
      ['plain'],
    ])
    // A group that is not known is none.
    expect(sectionsOf([image('other', { group: 'gone' })], []).map(({ label }) => label)).toEqual([null])
  })

  test('the versions of a family are one entry in each location, the latest first', () => {
    const images = [
      image('old', { version: '12.9' }),
      image('new', { version: '12.10', latest: true }),
      image('newest', { version: '12.11', deprecated: true }),
      image('there', { version: '12.9', latest: true, location: 'there' }),
    ]
    const [section] = sectionsOf(images, [])
    expect(section?.entries.map(({ versions }) => versions.map(({ id }) => id))).toEqual([
      ['new', 'newest', 'old'],
      ['there'],
    ])
    expect(images.map(versionLabel)).toEqual([
      '12.9',
      '12.10 (latest)',
      '12.11 (deprecated)',
      '12.9 (latest)',
    ])
  })
})
