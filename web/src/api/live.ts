/**
 * The one event stream of the panel. It writes what the server pushes into the query cache, so that every page is live
 * without asking. The browser reconnects and resumes by itself (`Last-Event-ID`); where the server refuses or a proxy
 * breaks the stream, the panel polls and tries again with a growing pause.
 */
import type { QueryClient, QueryKey } from '@tanstack/react-query'
import { useSyncExternalStore } from 'react'
import {
  belongs,
  type Change,
  holds,
  INITIAL,
  type ListFilter,
  type Pages,
  parseEvent,
  reduceStream,
  removeFromPages,
  replaceInPages,
  type StreamInput,
  type StreamState,
} from './events-reducer'
import type { Task } from './types'

const URL = '/api/v1/events?types=task.*,image.*,instance.*'
const KINDS = ['task.changed', 'image.changed', 'image.deleted', 'instance.changed', 'instance.deleted']

/** How often pages ask while the stream is broken. */
const POLL_MS = 3000
/** The pause before a refused stream is opened again: doubles from the first to the second. */
const REOPEN_MS = { first: 2000, most: 30_000 }
/** A page that was out of sight for this long closes its stream until it is seen again. */
const UNSEEN_MS = 60_000

let state: StreamState = INITIAL
const listeners = new Set<() => void>()

function setState(next: StreamState): void {
  if (next === state) return
  const changed = next.link !== state.link
  state = next
  if (changed) for (const listener of listeners) listener()
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** How the panel learns of changes at the moment. */
export function currentLink(): StreamState['link'] {
  return state.link
}

/** The same, for components: they are drawn again when it changes. */
export function useLink(): StreamState['link'] {
  return useSyncExternalStore(subscribe, currentLink)
}

/** The interval for queries of things that change by themselves: none while the stream is live. */
export function usePollInterval(): number | false {
  return useLink() === 'broken' ? POLL_MS : false
}

/** Opens the stream for the signed-in account; the answer closes it. */
export function openStream(cache: QueryClient): () => void {
  let source: EventSource | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let sight: ReturnType<typeof setTimeout> | undefined
  let pause = REOPEN_MS.first

  const feed = (input: StreamInput): boolean => {
    const [next, effect] = reduceStream(state, input)
    setState(next)
    if (effect === 'refetch') void cache.invalidateQueries({ predicate: (query) => isLive(query.queryKey) })
    return effect === 'apply'
  }

  const open = () => {
    source = new EventSource(URL)
    source.addEventListener('snapshot', (event) => {
      pause = REOPEN_MS.first
      feed({ type: 'snapshot', sequence: sequenceOf(event.data) })
    })
    source.addEventListener('reset', (event) => feed({ type: 'reset', sequence: sequenceOf(event.data) }))
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        const parsed = parseEvent(kind, event.data)
        if (parsed && feed({ type: 'change', sequence: parsed.sequence })) apply(cache, parsed.change)
      })
    }
    source.onopen = () => feed({ type: 'opened' })
    source.onerror = () => {
      feed({ type: 'failed' })
      if (source?.readyState !== EventSource.CLOSED) return
      timer = setTimeout(open, pause)
      pause = Math.min(pause * 2, REOPEN_MS.most)
    }
  }

  // A browser has few connections to a server, for all of its tabs: a page that nobody sees gives
  // its one back.
  const followSight = () => {
    clearTimeout(sight)
    if (document.visibilityState === 'hidden') {
      sight = setTimeout(() => {
        clearTimeout(timer)
        source?.close()
        source = null
      }, UNSEEN_MS)
    } else if (source === null) {
      open()
    }
  }

  open()
  document.addEventListener('visibilitychange', followSight)
  return () => {
    document.removeEventListener('visibilitychange', followSight)
    clearTimeout(timer)
    clearTimeout(sight)
    source?.close()
    setState(INITIAL)
  }
}

/** Fills a list that only this task can be in, so that a new image's or instance's page shows it at once. */
export function seedTaskList(cache: QueryClient, filter: ListFilter, task: Task): void {
  const first: Pages<Task> = { pages: [{ items: [task], next_page_token: null }], pageParams: [''] }
  cache.setQueryData(['tasks', 'list', filter], (known: Pages<Task> | undefined) => known ?? first)
}

function sequenceOf(data: string): number {
  try {
    const { sequence } = JSON.parse(data) as { sequence?: unknown }
    return typeof sequence === 'number' ? sequence : 0
  } catch {
    return 0
  }
}

/** Keys of what the stream keeps fresh: `['tasks', 'list', ...]`, `['images', 'one', id]`. */
function isLive(key: QueryKey): boolean {
  return key[0] === 'tasks' || key[0] === 'images' || key[0] === 'instances' || key[0] === 'locations'
}

/** Writes one change into the cache. A list that does not hold the thing yet is asked for again. */
export function apply(cache: QueryClient, change: Change): void {
  const noun = `${change.noun}s`
  const one = [noun, 'one', change.id]
  if (change.item) cache.setQueryData(one, change.item)
  else void cache.resetQueries({ queryKey: one })

  for (const query of cache.getQueryCache().findAll({ queryKey: [noun, 'list'] })) {
    const data = query.state.data as Pages<{ id: string }> | undefined
    const known = holds(data, change.id)
    const wanted = change.item !== null && belongs((query.queryKey[2] ?? {}) as ListFilter, change.item)
    if (data && known) {
      const next =
        change.item && wanted ? replaceInPages(data, change.item) : removeFromPages(data, change.id)
      cache.setQueryData(query.queryKey, next)
    }
    // A request under way may answer with what was true before this change.
    const outdated = query.state.fetchStatus === 'fetching' || wanted !== known
    if (outdated) void cache.invalidateQueries({ queryKey: query.queryKey, exact: true })
  }
  // Whether an instance can be captured depends on its tasks.
  if (change.noun === 'task' && change.item?.instance_id && change.item.state !== 'running') {
    void cache.invalidateQueries({ queryKey: ['instances'] })
  }
  // An image that came or went changes how many slots are used.
  if (change.noun === 'image') void cache.invalidateQueries({ queryKey: ['locations'] })
}
