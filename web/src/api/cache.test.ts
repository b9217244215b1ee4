import { QueryClient } from '@tanstack/react-query'
import { beforeEach, describe, expect, test } from 'vitest'
import { applyChange } from './cache'
import { keys } from './keys'
import type { Image, ImageStorage, Task } from './types'

const task = (id: string, patch: Partial<Task> = {}) =>
  ({ id, kind: 'image.capture', state: 'running', created_at: '2026-11-20T12:00:00Z', ...patch }) as Task

const pages = (...items: object[]) => ({ pages: [{ items, next_page_token: null }], pageParams: [''] })

const ALL = keys.tasks.list({})
const ACTIVE = keys.tasks.list({ state: 'queued,running' })
const OF_OTHER_IMAGE = keys.tasks.list({ image_id: 'img_other' })
const OWN_IMAGES = keys.images.list({ scope: 'own' })

const isStale = (cache: QueryClient, key: readonly unknown[]) => cache.getQueryState(key)?.isInvalidated

describe('a change in the cache', () => {
  let cache: QueryClient
  beforeEach(() => {
    cache = new QueryClient()
  })

  test('updates the item and every list that contains it without a request', () => {
    cache.setQueryData(ALL, pages(task('tsk_1'), task('tsk_2')))
    applyChange(cache, { noun: 'task', id: 'tsk_2', item: task('tsk_2', { percent: 40 }) })
    expect(cache.getQueryData(keys.tasks.one('tsk_2'))).toMatchObject({ percent: 40 })
    expect(cache.getQueryData(ALL)).toMatchObject(pages({ id: 'tsk_1' }, { id: 'tsk_2', percent: 40 }))
    expect(isStale(cache, ALL)).toBe(false)
  })

  test('removes an item from a list when it no longer matches the filter', () => {
    cache.setQueryData(ACTIVE, pages(task('tsk_1')))
    applyChange(cache, { noun: 'task', id: 'tsk_1', item: task('tsk_1', { state: 'succeeded' }) })
    expect(cache.getQueryData(ACTIVE)).toEqual(pages())
  })

  test('requests a list again that should contain the item and does not', () => {
    cache.setQueryData(ALL, pages())
    cache.setQueryData(OF_OTHER_IMAGE, pages())
    applyChange(cache, { noun: 'task', id: 'tsk_1', item: task('tsk_1', { image_id: 'img_1' }) })
    expect(isStale(cache, ALL)).toBe(true)
    expect(isStale(cache, OF_OTHER_IMAGE)).toBe(false)
  })

  test('requests an instance again when one of its tasks starts or ends, not at every step', () => {
    const instance = keys.instances.one('ins_1')
    cache.setQueryData(instance, { id: 'ins_1' })
    applyChange(cache, { noun: 'task', id: 'tsk_1', item: task('tsk_1', { instance_id: 'ins_1' }) })
    expect(isStale(cache, instance)).toBe(false)
    applyChange(cache, {
      noun: 'task',
      id: 'tsk_1',
      item: task('tsk_1', { instance_id: 'ins_1', state: 'succeeded' }),
    })
    expect(isStale(cache, instance)).toBe(true)
  })

  test('removes a deleted item everywhere and requests the image limits again', () => {
    const image = { id: 'img_1', kind: 'custom' } as Image
    cache.setQueryData(keys.images.one('img_1'), image)
    cache.setQueryData(OWN_IMAGES, pages(image))
    cache.setQueryData(keys.locations, [])
    applyChange(cache, { noun: 'image', id: 'img_1', item: null })
    expect(cache.getQueryData(keys.images.one('img_1'))).toBeUndefined()
    expect(cache.getQueryData(OWN_IMAGES)).toEqual(pages())
    expect(isStale(cache, keys.locations)).toBe(true)
  })

  test('brings an image back that is shared again, and no other', () => {
    const own = { id: 'img_1', kind: 'custom' } as Image
    const shared = { ...own, shared: { share_id: 'shr_1', owner: 'acme', expires_at: null } } as Image
    applyChange(cache, { noun: 'image', id: 'img_1', item: null })
    applyChange(cache, { noun: 'image', id: 'img_1', item: own })
    expect(cache.getQueryData(keys.images.one('img_1'))).toBeUndefined()
    applyChange(cache, { noun: 'image', id: 'img_1', item: shared })
    expect(cache.getQueryData(keys.images.one('img_1'))).toEqual(shared)
  })

  test('of a media group, or of a version of a family, requests the lists of images again', () => {
    const image = { id: 'img_1', kind: 'stock', created_at: '', catalogue: { family: null } } as Image
    cache.setQueryData(OWN_IMAGES, pages())
    applyChange(cache, { noun: 'image', id: 'img_1', item: image })
    expect(isStale(cache, OWN_IMAGES)).toBe(false)
    const version = { ...image, catalogue: { family: 'debian-12' } } as Image
    applyChange(cache, { noun: 'image', id: 'img_1', item: version })
    expect(isStale(cache, OWN_IMAGES)).toBe(true)
    cache.setQueryData(OWN_IMAGES, pages())
    cache.setQueryData(keys.mediaGroups, [])
    applyChange(cache, { noun: 'media_group', id: 'mgr_1', item: null })
    expect([isStale(cache, OWN_IMAGES), isStale(cache, keys.mediaGroups)]).toEqual([true, true])
  })

  test('of a share requests the lists of shares again', () => {
    cache.setQueryData(keys.shares.incoming, pages())
    cache.setQueryData(keys.shares.ofImage('img_1'), pages())
    applyChange(cache, { noun: 'share', id: 'shr_1', item: null })
    expect(isStale(cache, keys.shares.incoming)).toBe(true)
    expect(isStale(cache, keys.shares.ofImage('img_1'))).toBe(true)
  })

  test('of a storage updates it and requests its lists and its scans again', () => {
    const storage = (name: string) => ({ id: 'sto_1', name }) as ImageStorage
    cache.setQueryData(keys.storages.one('sto_1'), storage('old'))
    cache.setQueryData(keys.storages.list({}), [storage('old')])
    cache.setQueryData(keys.storageScans('sto_1'), [])
    cache.setQueryData(keys.storageScans('sto_2'), [])
    applyChange(cache, { noun: 'storage', id: 'sto_1', item: storage('new') })
    expect(cache.getQueryData(keys.storages.one('sto_1'))).toMatchObject({ name: 'new' })
    expect(isStale(cache, keys.storages.list({}))).toBe(true)
    expect(isStale(cache, keys.storageScans('sto_1'))).toBe(true)
    expect(isStale(cache, keys.storageScans('sto_2'))).toBe(false)
    applyChange(cache, { noun: 'storage', id: 'sto_1', item: null })
    expect(cache.getQueryData(keys.storages.one('sto_1'))).toBeUndefined()
  })

  test('ignores a response that is older than the deletion of its item', () => {
    const image = { id: 'img_1', kind: 'custom', status: 'deleting' } as Image
    applyChange(cache, { noun: 'image', id: 'img_1', item: null })
    applyChange(cache, { noun: 'image', id: 'img_1', item: image })
    expect(cache.getQueryData(keys.images.one('img_1'))).toBeUndefined()
  })
})
