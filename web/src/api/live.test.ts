import { QueryClient } from '@tanstack/react-query'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { apply, currentLink, openStream } from './live'
import type { Image, Task } from './types'

const task = (id: string, patch: Partial<Task> = {}) =>
  ({ id, kind: 'image.capture', state: 'running', created_at: '2026-11-20T12:00:00Z', ...patch }) as Task

const pages = (...items: object[]) => ({ pages: [{ items, next_page_token: null }], pageParams: [''] })

const ALL = ['tasks', 'list', {}]
const AT_WORK = ['tasks', 'list', { state: 'queued,running' }]

const isStale = (cache: QueryClient, key: unknown[]) => cache.getQueryState(key)?.isInvalidated

describe('a change in the cache', () => {
  let cache: QueryClient
  beforeEach(() => {
    cache = new QueryClient()
  })

  test('reaches the thing itself and every list that holds it, without asking the server', () => {
    cache.setQueryData(ALL, pages(task('tsk_1'), task('tsk_2')))
    apply(cache, { noun: 'task', id: 'tsk_2', item: task('tsk_2', { percent: 40 }) })
    expect(cache.getQueryData(['tasks', 'one', 'tsk_2'])).toMatchObject({ percent: 40 })
    expect(cache.getQueryData(ALL)).toMatchObject(pages({ id: 'tsk_1' }, { id: 'tsk_2', percent: 40 }))
    expect(isStale(cache, ALL)).toBe(false)
  })

  test('takes a thing out of a list whose filter it no longer meets', () => {
    cache.setQueryData(AT_WORK, pages(task('tsk_1')))
    apply(cache, { noun: 'task', id: 'tsk_1', item: task('tsk_1', { state: 'succeeded' }) })
    expect(cache.getQueryData(AT_WORK)).toEqual(pages())
  })

  test('asks again for a list that should hold it and does not', () => {
    cache.setQueryData(ALL, pages())
    cache.setQueryData(['tasks', 'list', { image_id: 'img_other' }], pages())
    apply(cache, { noun: 'task', id: 'tsk_1', item: task('tsk_1', { image_id: 'img_1' }) })
    expect(isStale(cache, ALL)).toBe(true)
    expect(isStale(cache, ['tasks', 'list', { image_id: 'img_other' }])).toBe(false)
  })

  test('asks what an instance may do when one of its tasks begins or ends, not at every step', () => {
    const instance = ['instances', 'one', 'ins_1']
    cache.setQueryData(instance, { id: 'ins_1' })
    apply(cache, { noun: 'task', id: 'tsk_1', item: task('tsk_1', { instance_id: 'ins_1' }) })
    expect(isStale(cache, instance)).toBe(false)
    apply(cache, {
      noun: 'task',
      id: 'tsk_1',
      item: task('tsk_1', { instance_id: 'ins_1', state: 'succeeded' }),
    })
    expect(isStale(cache, instance)).toBe(true)
  })

  test('takes what is gone out of everything, and asks how many slots are used', () => {
    const image = { id: 'img_1', kind: 'custom' } as Image
    cache.setQueryData(['images', 'one', 'img_1'], image)
    cache.setQueryData(['images', 'list', { scope: 'own' }], pages(image))
    cache.setQueryData(['locations'], [])
    apply(cache, { noun: 'image', id: 'img_1', item: null })
    expect(cache.getQueryData(['images', 'one', 'img_1'])).toBeUndefined()
    expect(cache.getQueryData(['images', 'list', { scope: 'own' }])).toEqual(pages())
    expect(isStale(cache, ['locations'])).toBe(true)
  })
})

class FakeEventSource extends EventTarget {
  static readonly CLOSED = 2
  static made: FakeEventSource[] = []
  readyState = 1
  onopen: (() => void) | null = null
  onerror: (() => void) | null = null
  constructor(readonly url: string) {
    super()
    FakeEventSource.made.push(this)
  }
  say(kind: string, data: object) {
    this.dispatchEvent(Object.assign(new Event(kind), { data: JSON.stringify(data) }))
  }
  fail(readyState: number) {
    this.readyState = readyState
    this.onerror?.()
  }
  close() {
    this.readyState = FakeEventSource.CLOSED
  }
}

describe('the stream', () => {
  let close = () => {}
  const last = () => FakeEventSource.made.at(-1) as FakeEventSource
  beforeEach(() => {
    FakeEventSource.made = []
    vi.useFakeTimers()
    vi.stubGlobal('EventSource', FakeEventSource)
    vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }))
  })
  afterEach(() => {
    close()
    vi.useRealTimers()
    vi.unstubAllGlobals()
  })

  test('writes what it hears into the cache', () => {
    const cache = new QueryClient()
    close = openStream(cache)
    last().say('snapshot', { sequence: 3 })
    last().say('task.changed', { sequence: 4, kind: 'task.changed', task: task('tsk_1', { percent: 7 }) })
    expect(currentLink()).toBe('live')
    expect(cache.getQueryData(['tasks', 'one', 'tsk_1'])).toMatchObject({ percent: 7 })
  })

  test('asks again for what is on the screen after a gap', () => {
    const cache = new QueryClient()
    cache.setQueryData(ALL, pages())
    cache.setQueryData(['account'], {})
    close = openStream(cache)
    last().say('snapshot', { sequence: 3 })
    expect(isStale(cache, ALL)).toBe(true)
    expect(isStale(cache, ['account'])).toBe(false)
  })

  test('leaves a pause to the browser, and opens a refused stream again with growing patience', () => {
    close = openStream(new QueryClient())
    last().fail(0)
    expect(currentLink()).toBe('broken')
    vi.advanceTimersByTime(60_000)
    expect(FakeEventSource.made).toHaveLength(1)

    last().fail(FakeEventSource.CLOSED)
    vi.advanceTimersByTime(2000)
    expect(FakeEventSource.made).toHaveLength(2)
    last().fail(FakeEventSource.CLOSED)
    vi.advanceTimersByTime(3999)
    expect(FakeEventSource.made).toHaveLength(2)
    vi.advanceTimersByTime(1)
    expect(FakeEventSource.made).toHaveLength(3)
    last().onopen?.()
    expect(currentLink()).toBe('live')
  })

  test('is given back by a page that nobody sees, and opened again for one that is seen', () => {
    close = openStream(new QueryClient())
    const see = (visibilityState: string) => {
      Object.assign(document, { visibilityState })
      document.dispatchEvent(new Event('visibilitychange'))
    }
    see('hidden')
    vi.advanceTimersByTime(30_000)
    see('visible')
    vi.advanceTimersByTime(90_000)
    expect(FakeEventSource.made).toHaveLength(1)
    see('hidden')
    vi.advanceTimersByTime(60_000)
    expect(last().readyState).toBe(FakeEventSource.CLOSED)
    see('visible')
    expect(FakeEventSource.made).toHaveLength(2)
    expect(last().readyState).toBe(1)
  })

  test('is closed with the account', () => {
    close = openStream(new QueryClient())
    last().fail(FakeEventSource.CLOSED)
    close()
    vi.advanceTimersByTime(60_000)
    expect(FakeEventSource.made).toHaveLength(1)
    expect(currentLink()).toBe('connecting')
  })
})
