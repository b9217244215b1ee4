import { expect, test } from 'vitest'
import type { Location } from '@/api/types'
import { limitLines } from './lines'

const place = (name: string, patch: Partial<Location>) =>
  ({
    id: name,
    name,
    image_limit: null,
    images_used: 0,
    image_limit_scope: 'location',
    image_bytes_limit: null,
    image_bytes_used: 0,
    image_bytes_limit_scope: 'location',
    ...patch,
  }) as Location

test('a limit of the account is said once', () => {
  const own = { image_limit: 10, images_used: 4, image_limit_scope: 'account' } as const
  expect(limitLines([place('a', own), place('b', own)])).toEqual(['4 of 10 images used'])
})

test('limits of several locations name their location', () => {
  const lines = limitLines([
    place('a', { image_limit: 3, images_used: 1 }),
    place('b', { image_bytes_limit: 2 ** 31, image_bytes_used: 2 ** 30 }),
  ])
  expect(lines).toEqual(['1 of 3 images used in a', '1 GiB of 2 GiB used in b'])
})

test('without limits there is nothing to say', () => {
  expect(limitLines([place('a', {})])).toEqual([])
})
