/**
 * The search parameters of the pages: whatever an address contains, a page gets only valid values.
 */

type Raw = Record<string, unknown>

const oneOf = <const T extends string>(values: readonly T[], value: unknown): T | undefined =>
  values.find((candidate) => candidate === value)

const text = (value: unknown): string | undefined => {
  // The router reads `?q=42` as a number.
  const string = typeof value === 'number' ? String(value) : value
  return typeof string === 'string' && string !== '' ? string.slice(0, 200) : undefined
}

/** Leaves out members without a value, so that they do not appear in the address. */
function compact<T extends object>(search: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>
  }
}

export const IMAGE_SORTS = [
  'name',
  '-name',
  'size_bytes',
  '-size_bytes',
  'created_at',
  '-created_at',
] as const
export const IMAGE_STATUSES = ['creating', 'available', 'error', 'deleting'] as const
export const TASK_STATES = ['active', 'succeeded', 'failed', 'cancelled'] as const
export const IMAGE_TABS = ['stock', 'mine', 'shared'] as const
/** The tabs of My Images besides the first one, which has no name in the address. */
export const MY_IMAGES_TABS = ['shared'] as const

/** The most tags of an image, and so of a filter. */
const MAX_TAGS = 32

/** Returns tags, separated by commas, without those that are repeated. */
const tags = (value: unknown): string | undefined => {
  const list = splitTags(text(value) ?? '').slice(0, MAX_TAGS)
  return list.length > 0 ? list.join(',') : undefined
}

/** Returns the tags in a text, which commas separate; upper and lower case make no difference. */
export function splitTags(typed: string): string[] {
  const found = new Map<string, string>()
  for (const tag of typed.split(',').map((part) => part.trim())) {
    const key = tag.toLowerCase()
    if (tag !== '' && !found.has(key)) found.set(key, tag)
  }
  return [...found.values()]
}

export const imagesSearch = (raw: Raw) =>
  compact({
    q: text(raw.q),
    tag: tags(raw.tag),
    status: oneOf(IMAGE_STATUSES, raw.status),
    sort: oneOf(IMAGE_SORTS, raw.sort),
    tab: oneOf(MY_IMAGES_TABS, raw.tab),
  })

export const STORAGE_ROLES = ['customer', 'stock', 'iso'] as const
export const STORAGE_STATES = ['active', 'read_only', 'draining'] as const

export const storagesSearch = (raw: Raw) =>
  compact({
    q: text(raw.q),
    role: oneOf(STORAGE_ROLES, raw.role),
    state: oneOf(STORAGE_STATES, raw.state),
  })

export const OBJECT_CLASSES = [
  'faults',
  'missing',
  'digest_mismatch',
  'size_mismatch',
  'orphan',
  'foreign',
  'quarantined',
  'failed_image',
  'in_progress',
  'stale_parent',
  'image',
] as const

export const objectsSearch = (raw: Raw) =>
  compact({ prefix: text(raw.prefix), class: oneOf(OBJECT_CLASSES, raw.class) })

export const tasksSearch = (raw: Raw) =>
  compact({
    state: oneOf(TASK_STATES, raw.state),
    image_id: text(raw.image_id),
    instance_id: text(raw.instance_id),
  })

export const createSearch = (raw: Raw) => compact({ tab: oneOf(IMAGE_TABS, raw.tab), image: text(raw.image) })

/** `ended`: the session ended while a page was open. */
export const signInSearch = (raw: Raw) =>
  compact({ next: safeNext(raw.next), ended: raw.ended === true ? true : undefined })

/** Returns the address to open after signing in if it is a page of this panel. */
export function safeNext(next: unknown): string | undefined {
  if (typeof next !== 'string' || !/^\/(?![/\\])/.test(next)) return undefined
  return next.startsWith('/sign-in') ? undefined : next
}

/** Where the file of an import is, besides on the computer, which has no name in the address. */
export const IMPORT_TABS = ['url', 'storage', 'imprint'] as const

export const importSearch = (raw: Raw) => compact({ from: oneOf(IMPORT_TABS, raw.from) })

/** A month such as `2026-11`. */
const month = (value: unknown): string | undefined =>
  /^\d{4}-(0[1-9]|1[0-2])$/.test(text(value) ?? '') ? text(value) : undefined

export const usageSearch = (raw: Raw) => compact({ period: month(raw.period), location: text(raw.location) })

/** The tabs of Billing besides the first one, which has no name in the address. */
export const BILLING_TABS = ['rates', 'months', 'adjustments'] as const

export const billingSearch = (raw: Raw) =>
  compact({ tab: oneOf(BILLING_TABS, raw.tab), period: month(raw.period) })
