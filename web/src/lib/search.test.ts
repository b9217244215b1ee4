import { describe, expect, test } from 'vitest'
import { createSearch, imagesSearch, safeNext, signInSearch, splitTags, tasksSearch } from './search'

describe('an address', () => {
  test('keeps valid parameters', () => {
    expect(imagesSearch({ q: 'web', status: 'error', sort: '-name' })).toEqual({
      q: 'web',
      status: 'error',
      sort: '-name',
    })
    expect(tasksSearch({ state: 'active', image_id: 'img_1' })).toEqual({
      state: 'active',
      image_id: 'img_1',
    })
    expect(createSearch({ tab: 'mine', image: 'img_1' })).toEqual({ tab: 'mine', image: 'img_1' })
    expect(imagesSearch({ q: 42 })).toEqual({ q: '42' })
    expect(imagesSearch({ tab: 'shared' })).toEqual({ tab: 'shared' })
    expect(imagesSearch({ tag: 'web, env=prod,WEB' })).toEqual({ tag: 'web,env=prod' })
    expect(signInSearch({ next: '/tasks', ended: true })).toEqual({ next: '/tasks', ended: true })
  })

  test('loses all others', () => {
    expect(imagesSearch({ q: '', status: 'hidden', sort: 'rate', x: 1 })).toEqual({})
    expect(tasksSearch({ state: ['active'], image_id: {} })).toEqual({})
    expect(createSearch({ tab: 'theirs' })).toEqual({})
    expect(imagesSearch({ tab: 'mine' })).toEqual({})
    expect(signInSearch({ next: '//evil.example', ended: 'yes' })).toEqual({})
  })
})

test('tags are separated by commas, each once', () => {
  expect(splitTags(' Web ,, v2,web')).toEqual(['Web', 'v2'])
  expect(splitTags(' , ')).toEqual([])
  expect(imagesSearch({ tag: ',' })).toEqual({})
})

test('only pages of this panel are opened after signing in', () => {
  expect(safeNext('/images?q=a')).toBe('/images?q=a')
  for (const next of [
    '//evil.example',
    '/\\evil.example',
    'https://evil.example',
    '/sign-in?next=/',
    '',
    7,
    undefined,
  ]) {
    expect(safeNext(next)).toBeUndefined()
  }
})
