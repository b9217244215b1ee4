/**
 * What the event stream means, as pure functions: the connection's state, and how cached pages
 * change.
 */
import type { Image, ImageStorage, Instance, Page, Task } from './types'

/**
 * How the panel learns of changes: `live` by events, `broken` by polling until the stream is back.
 */
export type Connection = 'connecting' | 'live' | 'broken'

export interface StreamState {
  connection: Connection
  /** The number of the newest event received. */
  sequence: number | null
}

export type StreamInput =
  | { type: 'opened' }
  | { type: 'failed' }
  | { type: 'snapshot'; sequence: number }
  | { type: 'reset'; sequence: number }
  | { type: 'change'; sequence: number }

/** `refetch`: events may have been missed, so everything on the screen is requested again. */
export type StreamEffect = 'none' | 'apply' | 'refetch'

export const INITIAL: StreamState = { connection: 'connecting', sequence: null }

export function reduceStream(state: StreamState, input: StreamInput): [StreamState, StreamEffect] {
  switch (input.type) {
    case 'opened':
      // A resumed stream sends no snapshot: the events that were missed follow.
      return [{ ...state, connection: 'live' }, 'none']
    case 'failed':
      return [{ ...state, connection: 'broken' }, 'none']
    case 'snapshot':
      // Numbers have no gaps: an unchanged number means that no event was missed.
      return [
        { connection: 'live', sequence: input.sequence },
        state.sequence === input.sequence ? 'none' : 'refetch',
      ]
    case 'reset':
      return [{ connection: 'live', sequence: input.sequence }, 'refetch']
    case 'change':
      // A replayed event must not overwrite what a newer one wrote.
      if (state.sequence !== null && input.sequence < state.sequence) return [state, 'none']
      return [{ connection: 'live', sequence: input.sequence }, 'apply']
  }
}

const NOUNS = ['task', 'image', 'instance', 'media_group', 'share', 'storage', 'iso', 'export'] as const

/** The kinds of things that events are about. */
export type Noun = (typeof NOUNS)[number]

/**
 * A change of one thing; `item` is `null` when the thing was deleted. What shows media groups, shares, ISOs
 * or exports requests them again, so their state is not read. Events of billing are about no thing.
 */
export type Change =
  | { noun: 'task'; id: string; item: Task | null }
  | { noun: 'image'; id: string; item: Image | null }
  | { noun: 'instance'; id: string; item: Instance | null }
  | { noun: 'media_group'; id: string; item: null }
  | { noun: 'share'; id: string; item: null }
  | { noun: 'iso'; id: string; item: null }
  | { noun: 'export'; id: string; item: null }
  | { noun: 'storage'; id: string; item: ImageStorage | null }
  | { noun: 'billing' }

export interface ParsedEvent {
  sequence: number
  change: Change
}

/**
 * Reads the data of a `*.changed`, `*.deleted`, `*.alert` or `billing.*` event; `null` for data that the panel does not
 * understand.
 */
export function parseEvent(kind: string, data: string): ParsedEvent | null {
  const noun = NOUNS.find((name) => [`${name}.changed`, `${name}.deleted`, `${name}.alert`].includes(kind))
  const isBilling = kind.startsWith('billing.')
  if (!noun && !isBilling) return null
  let body: Record<string, unknown>
  try {
    const parsed: unknown = JSON.parse(data)
    if (typeof parsed !== 'object' || parsed === null) return null
    body = { ...parsed }
  } catch {
    return null
  }
  if (typeof body.sequence !== 'number') return null
  if (!noun) return { sequence: body.sequence, change: { noun: 'billing' } }
  const item = body[noun]
  if (typeof item !== 'object' || item === null) return null
  const { id } = item as { id?: unknown }
  if (typeof id !== 'string') return null
  const isComplete = kind !== `${noun}.deleted` && 'created_at' in item
  return { sequence: body.sequence, change: { noun, id, item: isComplete ? item : null } as Change }
}

/** The pages of a list that were loaded, as the query cache holds them. */
export interface Pages<T> {
  pages: Page<T>[]
  pageParams: unknown[]
}

export function containsItem<T extends { id: string }>(data: Pages<T> | undefined, id: string): boolean {
  return data?.pages.some((page) => page.items.some((item) => item.id === id)) ?? false
}

/**
 * Returns the pages with the new version of an item; the same object when they do not contain it.
 */
export function replaceInPages<T extends { id: string }>(data: Pages<T>, item: T): Pages<T> {
  if (!containsItem(data, item.id)) return data
  return {
    ...data,
    pages: data.pages.map((page) =>
      page.items.some((old) => old.id === item.id)
        ? { ...page, items: page.items.map((old) => (old.id === item.id ? item : old)) }
        : page,
    ),
  }
}

/** Returns the pages without an item; the same object when they do not contain it. */
export function removeFromPages<T extends { id: string }>(data: Pages<T>, id: string): Pages<T> {
  if (!containsItem(data, id)) return data
  return {
    ...data,
    pages: data.pages.map((page) => ({ ...page, items: page.items.filter((item) => item.id !== id) })),
  }
}

/** The filter of a list request; commas separate alternatives. */
export interface ListFilter {
  state?: string
  status?: string
  image_id?: string
  instance_id?: string
  scope?: 'own' | 'stock' | 'shared' | 'all'
  /** Words, all of which the texts of an image contain. */
  q?: string
  /** Tags, all of which an image has. */
  tag?: string
  sort?: string
}

/** What of an image is searched. */
interface Searched {
  name?: string
  description?: string
  source_instance?: { name: string } | null
  tags?: string[]
}

const wordsOf = (text: string | undefined, separator: RegExp | string) =>
  (text ?? '')
    .toLowerCase()
    .split(separator)
    .map((word) => word.trim())
    .filter((word) => word !== '')

/** Whether the server's search finds an image, and the image has the tags. */
function isFound(filter: ListFilter, item: object): boolean {
  const { name = '', description = '', source_instance, tags = [] }: Searched = { ...item }
  const text = [name, description, source_instance?.name ?? '', ...tags].join('\n').toLowerCase()
  const own = tags.map((tag) => tag.toLowerCase())
  return (
    wordsOf(filter.q, /\s+/).every((word) => text.includes(word)) &&
    wordsOf(filter.tag, ',').every((tag) => own.includes(tag))
  )
}

/** Whether the server would include an item in the list of a filter. */
export function matchesFilter(filter: ListFilter, item: object): boolean {
  const members: Record<string, unknown> = { ...item }
  const isOneOf = (wanted: string | undefined, value: unknown) =>
    wanted === undefined || wanted.split(',').includes(String(value))
  const scope = members.kind === 'stock' ? 'stock' : members.shared ? 'shared' : 'own'
  const isInScope = filter.scope === undefined || filter.scope === 'all' || filter.scope === scope
  return (
    isInScope &&
    isFound(filter, item) &&
    isOneOf(filter.state, members.state) &&
    isOneOf(filter.status, members.status) &&
    isOneOf(filter.image_id, members.image_id) &&
    isOneOf(filter.instance_id, members.instance_id)
  )
}

/**
 * Returns the tasks that ended between two readings of the list: those that were active before,
 * and those that started and ended in between (ids sort by age, so they are newer than every id before).
 * `before` is `null` for the first reading, which reports nothing.
 */
export function endedTasks(before: ReadonlyMap<string, Task['state']> | null, now: readonly Task[]): Task[] {
  if (before === null) return []
  const newest = [...before.keys()].reduce((newer, id) => (id > newer ? id : newer), '')
  return now.filter((task) => {
    const earlier = before.get(task.id)
    const isNew = earlier === undefined && task.id > newest
    const wasActive = earlier === 'queued' || earlier === 'running'
    return (wasActive || isNew) && task.state !== 'queued' && task.state !== 'running'
  })
}
