/** What the event stream means, as pure functions: the link's state, and how a change enters cached pages. */
import type { Image, Instance, Page, Task } from './types'

/** How the panel learns of changes: `live` by the stream, `broken` by polling until the stream is back. */
export type Link = 'connecting' | 'live' | 'broken'

export interface StreamState {
  link: Link
  /** The newest event seen. */
  sequence: number | null
}

export type StreamInput =
  | { type: 'opened' }
  | { type: 'failed' }
  | { type: 'snapshot'; sequence: number }
  | { type: 'reset'; sequence: number }
  | { type: 'change'; sequence: number }

/** `refetch`: something may have been missed, ask for everything that is on the screen. */
export type StreamEffect = 'none' | 'apply' | 'refetch'

export const INITIAL: StreamState = { link: 'connecting', sequence: null }

export function reduceStream(state: StreamState, input: StreamInput): [StreamState, StreamEffect] {
  switch (input.type) {
    case 'opened':
      // A resumed stream says nothing first: what was missed follows by itself.
      return [{ ...state, link: 'live' }, 'none']
    case 'failed':
      return [{ ...state, link: 'broken' }, 'none']
    case 'snapshot':
      // Numbers have no gaps: the same number as the last one seen means that nothing was missed.
      return [
        { link: 'live', sequence: input.sequence },
        state.sequence === input.sequence ? 'none' : 'refetch',
      ]
    case 'reset':
      return [{ link: 'live', sequence: input.sequence }, 'refetch']
    case 'change':
      // A replayed event is older than what a newer one already wrote.
      if (state.sequence !== null && input.sequence < state.sequence) return [state, 'none']
      return [{ link: 'live', sequence: input.sequence }, 'apply']
  }
}

/** A change of one thing; without the thing itself where it is gone. */
export type Change =
  | { noun: 'task'; id: string; item: Task | null }
  | { noun: 'image'; id: string; item: Image | null }
  | { noun: 'instance'; id: string; item: Instance | null }

export interface ParsedEvent {
  sequence: number
  change: Change
}

const NOUNS = ['task', 'image', 'instance'] as const

/** Reads the data of a `*.changed` or `*.deleted` event; nothing if it is not one that the panel understands. */
export function parseEvent(kind: string, data: string): ParsedEvent | null {
  const noun = NOUNS.find((name) => kind === `${name}.changed` || kind === `${name}.deleted`)
  if (!noun) return null
  let body: Record<string, unknown>
  try {
    const parsed: unknown = JSON.parse(data)
    if (typeof parsed !== 'object' || parsed === null) return null
    body = { ...parsed }
  } catch {
    return null
  }
  const item = body[noun]
  if (typeof body.sequence !== 'number' || typeof item !== 'object' || item === null) return null
  const { id } = item as { id?: unknown }
  if (typeof id !== 'string') return null
  const whole = kind === `${noun}.changed` && 'created_at' in item
  return { sequence: body.sequence, change: { noun, id, item: whole ? item : null } as Change }
}

export interface Pages<T> {
  pages: Page<T>[]
  pageParams: unknown[]
}

export function holds<T extends { id: string }>(data: Pages<T> | undefined, id: string): boolean {
  return data?.pages.some((page) => page.items.some((item) => item.id === id)) ?? false
}

/** The same pages with the item in its new form; the same object where the item is not in them. */
export function replaceInPages<T extends { id: string }>(data: Pages<T>, item: T): Pages<T> {
  if (!holds(data, item.id)) return data
  return {
    ...data,
    pages: data.pages.map((page) =>
      page.items.some((old) => old.id === item.id)
        ? { ...page, items: page.items.map((old) => (old.id === item.id ? item : old)) }
        : page,
    ),
  }
}

/** The same pages without the item. */
export function removeFromPages<T extends { id: string }>(data: Pages<T>, id: string): Pages<T> {
  if (!holds(data, id)) return data
  return {
    ...data,
    pages: data.pages.map((page) => ({ ...page, items: page.items.filter((item) => item.id !== id) })),
  }
}

/** What a list was asked for; a comma means "or". */
export interface ListFilter {
  state?: string
  status?: string
  image_id?: string
  instance_id?: string
  scope?: 'own' | 'stock' | 'all'
}

/** Whether the server would put an item into the list of that filter. */
export function belongs(filter: ListFilter, item: object): boolean {
  const members: Record<string, unknown> = { ...item }
  const isOneOf = (wanted: string | undefined, value: unknown) =>
    wanted === undefined || wanted.split(',').includes(String(value))
  const inScope =
    filter.scope === undefined ||
    filter.scope === 'all' ||
    (filter.scope === 'stock') === (members.kind === 'stock')
  return (
    inScope &&
    isOneOf(filter.state, members.state) &&
    isOneOf(filter.status, members.status) &&
    isOneOf(filter.image_id, members.image_id) &&
    isOneOf(filter.instance_id, members.instance_id)
  )
}

/**
 * The tasks that ended between two looks: those that were seen at work, and those so short that they came and went in between
 * (ids sort by age, so they are newer than everything that was there). `null`: the first look, at which nothing is news.
 */
export function endedTasks(before: ReadonlyMap<string, Task['state']> | null, now: readonly Task[]): Task[] {
  if (before === null) return []
  const newest = [...before.keys()].reduce((newer, id) => (id > newer ? id : newer), '')
  return now.filter((task) => {
    const was = before.get(task.id)
    const cameInBetween = was === undefined && task.id > newest
    const wasAtWork = was === 'queued' || was === 'running'
    return (wasAtWork || cameInBetween) && task.state !== 'queued' && task.state !== 'running'
  })
}
