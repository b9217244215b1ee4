import { QueryClient } from '@tanstack/react-query'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { readStream } from './cache'
import { keys } from './keys'
import { openStream } from './live'
import type { Task } from './types'

const task = (id: string, patch: Partial<Task> = {}) =>
  ({ id, kind: 'image.capture', state: 'running', created_at: '2026-11-20T12:00:00Z', ...patch }) as Task

const isStale = (cache: QueryClient, key: readonly unknown[]) => cache.getQueryState(key)?.isInvalidated

class FakeEventSource extends EventTarget {
  static readonly CLOSED = 2
  static opened: FakeEventSource[] = []
  readyState = 1
  onopen: (() => void) | null = null
  onerror: (() => void) | null = null
  constructor(readonly url: string) {
    super()
    FakeEventSource.opened.push(this)
  }
  emit(kind: string, data: object) {
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
  let cache: QueryClient
  const last = () => FakeEventSource.opened.at(-1) as FakeEventSource
  beforeEach(() => {
    cache = new QueryClient()
    FakeEventSource.opened = []
    vi.useFakeTimers()
    vi.stubGlobal('EventSource', FakeEventSource)
    vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }))
  })
  afterEach(() => {
    close()
    vi.useRealTimers()
    vi.unstubAllGlobals()
  })

  test('writes events into the cache', () => {
    close = openStream(cache)
    last().emit('snapshot', { sequence: 3 })
    last().emit('task.changed', { sequence: 4, kind: 'task.changed', task: task('tsk_1', { percent: 7 }) })
    expect(readStream(cache).connection).toBe('live')
    expect(cache.getQueryData(keys.tasks.one('tsk_1'))).toMatchObject({ percent: 7 })
  })

  test('requests the data on the screen again after a gap', () => {
    cache.setQueryData(keys.tasks.list({}), { pages: [], pageParams: [] })
    cache.setQueryData(keys.account, {})
    close = openStream(cache)
    last().emit('snapshot', { sequence: 3 })
    expect(isStale(cache, keys.tasks.list({}))).toBe(true)
    expect(isStale(cache, keys.account)).toBe(false)
  })

  test('leaves reconnecting to the browser, and opens a refused stream again after growing pauses', () => {
    close = openStream(cache)
    last().fail(0)
    expect(readStream(cache).connection).toBe('broken')
    vi.advanceTimersByTime(60_000)
    expect(FakeEventSource.opened).toHaveLength(1)

    last().fail(FakeEventSource.CLOSED)
    vi.advanceTimersByTime(2000)
    expect(FakeEventSource.opened).toHaveLength(2)
    last().fail(FakeEventSource.CLOSED)
    vi.advanceTimersByTime(3999)
    expect(FakeEventSource.opened).toHaveLength(2)
    vi.advanceTimersByTime(1)
    expect(FakeEventSource.opened).toHaveLength(3)
    last().onopen?.()
    expect(readStream(cache).connection).toBe('live')
  })

  test('is closed while the page is hidden and opened again when it is visible', () => {
    close = openStream(cache)
    const show = (visibilityState: string) => {
      Object.assign(document, { visibilityState })
      document.dispatchEvent(new Event('visibilitychange'))
    }
    show('hidden')
    vi.advanceTimersByTime(30_000)
    show('visible')
    vi.advanceTimersByTime(90_000)
    expect(FakeEventSource.opened).toHaveLength(1)
    show('hidden')
    vi.advanceTimersByTime(60_000)
    expect(last().readyState).toBe(FakeEventSource.CLOSED)
    show('visible')
    expect(FakeEventSource.opened).toHaveLength(2)
    expect(last().readyState).toBe(1)
  })

  test('is closed when the account signs out', () => {
    close = openStream(cache)
    last().fail(FakeEventSource.CLOSED)
    close()
    vi.advanceTimersByTime(60_000)
    expect(FakeEventSource.opened).toHaveLength(1)
    expect(readStream(cache).connection).toBe('connecting')
  })
})
