/**
 * Everything that writes into the query cache besides the queries: events and the results of
 * actions.
 */
import { type QueryClient, skipToken, useQuery } from '@tanstack/react-query'
import {
  type Change,
  type Connection,
  containsItem,
  INITIAL,
  type ListFilter,
  matchesFilter,
  type Pages,
  removeFromPages,
  replaceInPages,
  type StreamState,
} from './events-reducer'
import { filterOf, isLiveKey, keys, nounKeys } from './keys'
import type { Task } from './types'

/** Returns the state of the event stream, which is kept in the cache that the stream writes to. */
export function readStream(cache: QueryClient): StreamState {
  return cache.getQueryData<StreamState>(keys.stream) ?? INITIAL
}

export function writeStream(cache: QueryClient, state: StreamState): void {
  cache.setQueryData(keys.stream, state)
}

const connectionOf = (state: StreamState): Connection => state.connection

/** Returns how the panel learns of changes; the component is rendered again when that changes. */
export function useConnection(): Connection {
  const { data } = useQuery({
    queryKey: keys.stream,
    queryFn: skipToken,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: Number.POSITIVE_INFINITY,
    select: connectionOf,
  })
  return data ?? INITIAL.connection
}

/**
 * Writes one change into the cache. A list that should contain the item and does not is requested
 * again.
 */
export function applyChange(cache: QueryClient, change: Change): void {
  if (change.noun === 'storage') {
    applyStorageChange(cache, change)
    return
  }
  if (change.noun === 'media_group') {
    void cache.invalidateQueries({ queryKey: keys.mediaGroups })
    // Which version of a family is the latest depends on what is hidden.
    void cache.invalidateQueries({ queryKey: keys.images.lists })
    return
  }
  if (change.noun === 'share') {
    void cache.invalidateQueries({ queryKey: keys.shares.all })
    return
  }
  if (change.noun === 'iso') {
    void cache.invalidateQueries({ queryKey: keys.isos.all })
    return
  }
  if (change.noun === 'export') {
    void cache.invalidateQueries({ queryKey: keys.exports.all })
    return
  }
  if (change.noun === 'billing') {
    void cache.invalidateQueries({ queryKey: keys.billing.all })
    void cache.invalidateQueries({ queryKey: keys.usage.all })
    return
  }
  const { lists, one } = nounKeys(change.noun)
  let deleted = cache.getQueryData<readonly string[]>(keys.deleted) ?? []
  // An image that is shared again comes back; no response of an action has one.
  if (change.noun === 'image' && change.item?.shared && deleted.includes(change.id)) {
    deleted = deleted.filter((id) => id !== change.id)
    cache.setQueryData(keys.deleted, deleted)
  }
  // The response of a request can arrive after the event that the item was deleted.
  if (change.item && deleted.includes(change.id)) return
  if (change.item) {
    cache.setQueryData(one(change.id), change.item)
  } else {
    cache.setQueryData(keys.deleted, [...deleted, change.id])
    void cache.resetQueries({ queryKey: one(change.id) })
  }

  for (const query of cache.getQueryCache().findAll({ queryKey: lists })) {
    const data = query.state.data as Pages<{ id: string }> | undefined
    const isListed = containsItem(data, change.id)
    const isWanted = change.item !== null && matchesFilter(filterOf(query.queryKey), change.item)
    if (data && isListed) {
      const next =
        change.item && isWanted ? replaceInPages(data, change.item) : removeFromPages(data, change.id)
      cache.setQueryData(query.queryKey, next)
    }
    // A request in flight may have been answered before this change.
    const isOutdated = query.state.fetchStatus === 'fetching' || isWanted !== isListed
    if (isOutdated) void cache.invalidateQueries({ queryKey: query.queryKey, exact: true })
  }
  // Whether an instance can be captured depends on its tasks.
  if (change.noun === 'task' && change.item?.instance_id && change.item.state !== 'running') {
    void cache.invalidateQueries({ queryKey: keys.instances.all })
  }
  // Which version of a family is the latest depends on all of them.
  if (change.noun === 'image' && change.item?.catalogue?.family) {
    void cache.invalidateQueries({ queryKey: keys.images.lists })
  }
  // A new or deleted image changes how many of the allowed images are used.
  if (change.noun === 'image') void cache.invalidateQueries({ queryKey: keys.locations })
}

/** Writes a changed image storage into the cache; what is shown of its objects is requested again. */
function applyStorageChange(cache: QueryClient, { id, item }: Change & { noun: 'storage' }): void {
  if (item) {
    cache.setQueryData(keys.storages.one(id), item)
  } else {
    void cache.resetQueries({ queryKey: keys.storages.one(id) })
  }
  void cache.invalidateQueries({ queryKey: keys.storages.lists })
  void cache.invalidateQueries({ queryKey: keys.storageScans(id) })
  void cache.invalidateQueries({ queryKey: keys.storageObjects.all(id) })
}

/** Requests everything again that the stream keeps fresh: events may have been missed. */
export function invalidateLive(cache: QueryClient): void {
  void cache.invalidateQueries({ predicate: (query) => isLiveKey(query.queryKey) })
}

/** Fills the task list of a new image or instance, so that its page shows the task at once. */
export function seedTaskList(cache: QueryClient, filter: ListFilter, task: Task): void {
  const first: Pages<Task> = { pages: [{ items: [task], next_page_token: null }], pageParams: [''] }
  cache.setQueryData(keys.tasks.list(filter), (known: Pages<Task> | undefined) => known ?? first)
}
