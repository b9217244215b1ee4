import { describe, expect, test } from 'vitest'
import {
  containsItem,
  endedTasks,
  INITIAL,
  matchesFilter,
  type Pages,
  parseEvent,
  reduceStream,
  removeFromPages,
  replaceInPages,
  type StreamInput,
} from './events-reducer'
import type { Task } from './types'

const run = (...inputs: StreamInput[]) => {
  let state = INITIAL
  const effects = inputs.map((input) => {
    const [next, effect] = reduceStream(state, input)
    state = next
    return effect
  })
  return { state, effects }
}

describe('the stream', () => {
  test('is live after the snapshot and applies the events that follow', () => {
    const { state, effects } = run({ type: 'snapshot', sequence: 4 }, { type: 'change', sequence: 5 })
    expect(effects).toEqual(['refetch', 'apply'])
    expect(state).toEqual({ connection: 'live', sequence: 5 })
  })

  test('requests everything again after a gap, and nothing when no event was missed', () => {
    expect(
      run(
        { type: 'snapshot', sequence: 4 },
        { type: 'failed' },
        { type: 'snapshot', sequence: 4 },
        { type: 'snapshot', sequence: 9 },
      ).effects,
    ).toEqual(['refetch', 'none', 'none', 'refetch'])
  })

  test('is broken until it opens or sends an event again', () => {
    expect(run({ type: 'snapshot', sequence: 1 }, { type: 'failed' }).state.connection).toBe('broken')
    expect(run({ type: 'failed' }, { type: 'opened' }).state.connection).toBe('live')
    expect(run({ type: 'failed' }, { type: 'change', sequence: 2 }).state.connection).toBe('live')
  })

  test('ignores a replayed event that is older than the newest one', () => {
    expect(run({ type: 'change', sequence: 7 }, { type: 'change', sequence: 6 })).toEqual({
      state: { connection: 'live', sequence: 7 },
      effects: ['apply', 'none'],
    })
  })

  test('starts over when the server no longer has the missed events', () => {
    expect(run({ type: 'change', sequence: 7 }, { type: 'reset', sequence: 90 })).toEqual({
      state: { connection: 'live', sequence: 90 },
      effects: ['apply', 'refetch'],
    })
  })
})

describe('events', () => {
  test('contain the whole item', () => {
    const data = JSON.stringify({ sequence: 3, kind: 'task.changed', task: { id: 'tsk_1', created_at: 'x' } })
    expect(parseEvent('task.changed', data)).toEqual({
      sequence: 3,
      change: { noun: 'task', id: 'tsk_1', item: { id: 'tsk_1', created_at: 'x' } },
    })
  })

  test('of an alert contain the task that it is about', () => {
    const data = JSON.stringify({ sequence: 4, task: { id: 'tsk_1', created_at: 'x' } })
    expect(parseEvent('task.alert', data)?.change).toEqual({
      noun: 'task',
      id: 'tsk_1',
      item: { id: 'tsk_1', created_at: 'x' },
    })
  })

  test('of a deleted item contain its id', () => {
    const data = JSON.stringify({ sequence: 3, image: { id: 'img_1' } })
    expect(parseEvent('image.deleted', data)?.change).toEqual({ noun: 'image', id: 'img_1', item: null })
  })

  test('of billing are about no thing', () => {
    const data = JSON.stringify({ sequence: 5, kind: 'billing.rate_changed' })
    expect(parseEvent('billing.rate_changed', data)).toEqual({ sequence: 5, change: { noun: 'billing' } })
  })

  test.each([
    ['usage.changed', '{"sequence":1,"usage":{"id":"x"}}'],
    ['task.changed', 'not json'],
    ['task.changed', 'null'],
    ['task.changed', '{"sequence":"1","task":{"id":"x"}}'],
    ['task.changed', '{"sequence":1}'],
    ['task.changed', '{"sequence":1,"task":{"id":7}}'],
  ])('that cannot be read are ignored: %s %s', (kind, data) => expect(parseEvent(kind, data)).toBeNull())
})

describe('pages', () => {
  const data: Pages<{ id: string; size?: number }> = {
    pages: [{ items: [{ id: 'a' }, { id: 'b' }], next_page_token: 'n' }, { items: [{ id: 'c' }] }],
    pageParams: [null, 'n'],
  }

  test('replace an item in place and leave the other pages unchanged', () => {
    const next = replaceInPages(data, { id: 'b', size: 7 })
    expect(next.pages[0]?.items).toEqual([{ id: 'a' }, { id: 'b', size: 7 }])
    expect(next.pages[1]).toBe(data.pages[1])
    expect(data.pages[0]?.items[1]).toEqual({ id: 'b' })
  })

  test('lose a removed item and nothing else', () => {
    expect(removeFromPages(data, 'c').pages.map((page) => page.items.length)).toEqual([2, 0])
  })

  test('that do not contain the item stay the same object', () => {
    expect(replaceInPages(data, { id: 'z' })).toBe(data)
    expect(removeFromPages(data, 'z')).toBe(data)
    expect(containsItem(undefined, 'a')).toBe(false)
  })
})

describe('a list contains', () => {
  test('the items that match its filter', () => {
    const task = { state: 'running', instance_id: 'ins_1', image_id: null }
    expect(matchesFilter({}, task)).toBe(true)
    expect(matchesFilter({ state: 'queued,running' }, task)).toBe(true)
    expect(matchesFilter({ state: 'failed' }, task)).toBe(false)
    expect(matchesFilter({ instance_id: 'ins_1' }, task)).toBe(true)
    expect(matchesFilter({ image_id: 'img_1' }, task)).toBe(false)
  })

  test('images that are shared with the account', () => {
    const shared = { kind: 'custom', shared: { owner: 'acme' } }
    expect(matchesFilter({ scope: 'shared' }, shared)).toBe(true)
    expect(matchesFilter({ scope: 'own' }, shared)).toBe(false)
    expect(matchesFilter({ scope: 'all' }, shared)).toBe(true)
    expect(matchesFilter({ scope: 'shared' }, { kind: 'custom' })).toBe(false)
  })

  test('stock images, own images or both', () => {
    expect(matchesFilter({ scope: 'own' }, { kind: 'custom', status: 'creating' })).toBe(true)
    expect(matchesFilter({ scope: 'own' }, { kind: 'stock' })).toBe(false)
    expect(matchesFilter({ scope: 'stock' }, { kind: 'custom' })).toBe(false)
    expect(matchesFilter({ scope: 'all', status: 'available' }, { kind: 'stock', status: 'available' })).toBe(
      true,
    )
  })
})

test('a list contains what its search finds and what has its tags', () => {
  const image = {
    name: 'Production-Web',
    description: 'Nächtlich',
    source_instance: { name: 'demo-1' },
    tags: ['env=Prod', 'v2'],
  }
  for (const q of ['web', 'PROD web', 'nächt', 'demo-1', 'env=prod', ' ']) {
    expect(matchesFilter({ q }, image), q).toBe(true)
  }
  expect(matchesFilter({ q: 'webdemo' }, image)).toBe(false)
  expect(matchesFilter({ tag: 'V2,env=prod' }, image)).toBe(true)
  expect(matchesFilter({ tag: 'env' }, image)).toBe(false)
})

test('a task ended when it was active before, or started and ended between two readings', () => {
  const task = (id: string, state: Task['state']) => ({ id, state }) as Task
  const before = new Map<string, Task['state']>([
    ['a', 'running'],
    ['b', 'queued'],
    ['c', 'failed'],
    ['e', 'running'],
  ])
  const now = [
    task('0', 'succeeded'), // from an older page
    task('a', 'succeeded'),
    task('b', 'cancelled'),
    task('c', 'failed'),
    task('d', 'failed'), // older than the tasks before: loaded late, did not end now
    task('e', 'running'),
    task('f', 'succeeded'),
    task('g', 'running'),
  ]
  expect(endedTasks(before, now).map(({ id }) => id)).toEqual(['a', 'b', 'f'])
  expect(endedTasks(null, now)).toEqual([])
  expect(endedTasks(new Map(), now).map(({ id }) => id)).toEqual(['0', 'a', 'b', 'c', 'd', 'f'])
})
