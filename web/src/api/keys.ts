/**
 * The keys of the query cache. Every key is built here: `no-literal-query-keys.grit` rejects
 * literals in all other files.
 */
import type { QueryKey } from '@tanstack/react-query'
import type { ListFilter, Noun } from './events-reducer'

/**
 * The keys of one kind of thing, for example `['images', 'list', filter]` and `['images', 'one',
 * id]`.
 */
const keysOf = <
  const Plural extends `${Exclude<Noun, 'storage' | 'share' | 'media_group' | 'iso' | 'export'>}s`,
>(
  plural: Plural,
) => ({
  /** Matches every list and every single item. */
  all: [plural] as const,
  /** Matches every list. */
  lists: [plural, 'list'] as const,
  list: (filter: ListFilter) => [plural, 'list', filter] as const,
  one: (id: string) => [plural, 'one', id] as const,
})

export const keys = {
  account: ['account'],
  /** Locations with their settings, for admins. */
  adminLocations: ['admin-locations'],
  /** Hypervisors with their settings, for admins. */
  adminHypervisors: ['admin-hypervisors'],
  /** All accounts, for admins. */
  accounts: ['accounts'],
  /** Billing of all accounts, for admins. */
  billing: {
    all: ['billing'] as const,
    usage: (period: string | undefined) => ['billing', 'usage', period ?? 'current'] as const,
    budget: (account: string) => ['billing', 'budget', account] as const,
    rates: ['billing', 'rates'] as const,
    months: ['billing', 'months'] as const,
    adjustments: ['billing', 'adjustments'] as const,
  },
  captureEstimates: {
    of: (instanceId: string, format: string | undefined, compression: string | undefined) =>
      ['capture-estimates', instanceId, format ?? 'default', compression ?? 'default'] as const,
  },
  /** The ids of deleted things. */
  deleted: ['deleted'],
  exports: {
    all: ['exports'] as const,
    ofImage: (id: string) => ['exports', 'image', id] as const,
  },
  hypervisors: ['hypervisors'],
  images: keysOf('images'),
  /** What was found inside of the disk of an image. */
  imageFindings: {
    of: (id: string, version: number) => ['image-findings', id, version] as const,
  },
  instances: keysOf('instances'),
  isos: {
    all: ['isos'] as const,
    /** Those that can be mounted in a location, or in any. */
    offered: (locationId: string | undefined) => ['isos', 'offered', locationId ?? 'all'] as const,
    /** All of them, for admins. */
    admin: ['isos', 'admin'] as const,
  },
  locations: ['locations'],
  mediaGroups: ['media-groups'] as const,
  shares: {
    all: ['shares'] as const,
    /** What other accounts offer to this one and share with it. */
    incoming: ['shares', 'incoming'] as const,
    ofImage: (id: string) => ['shares', 'image', id] as const,
  },
  /** The saved SSH keys of the account. */
  sshKeys: ['ssh-keys'] as const,
  webhooks: {
    /** Matches the list and all deliveries. */
    all: ['webhooks'] as const,
    list: ['webhooks', 'list'] as const,
    deliveries: (id: string) => ['webhooks', 'deliveries', id] as const,
  },
  /** What the account used and what it costs. */
  usage: {
    all: ['usage'] as const,
    report: (filter: object) => ['usage', 'report', filter] as const,
    days: (filter: object) => ['usage', 'days', filter] as const,
    explain: (line: string, period: string) => ['usage', 'explain', line, period] as const,
    budget: ['usage', 'budget'] as const,
  },
  userScripts: {
    /** Matches the list and every script. */
    all: ['user-scripts'] as const,
    list: ['user-scripts', 'list'] as const,
    one: (id: string) => ['user-scripts', 'one', id] as const,
  },
  storageKinds: ['storage-kinds'],
  storages: {
    all: ['storages'] as const,
    lists: ['storages', 'list'] as const,
    list: (filter: object) => ['storages', 'list', filter] as const,
    one: (id: string) => ['storages', 'one', id] as const,
  },
  storageObjects: {
    /** Matches every page of a storage's objects. */
    all: (id: string) => ['storage-objects', id] as const,
    page: (id: string, page: object) => ['storage-objects', id, page] as const,
  },
  storageScans: (id: string) => ['storage-scans', id] as const,
  /** The state of the event stream. */
  stream: ['stream'],
  tasks: keysOf('tasks'),
} as const

const NOUN_KEYS = { image: keys.images, instance: keys.instances, task: keys.tasks } as const

/** The keys of a noun that is only known at run time, as in an event. */
export const nounKeys = (noun: keyof typeof NOUN_KEYS) => NOUN_KEYS[noun]

/** The filter in the key of a list. */
export const filterOf = (listKey: QueryKey): ListFilter => (listKey[2] ?? {}) as ListFilter

const LIVE: ReadonlySet<unknown> = new Set(
  [
    keys.tasks.all,
    keys.images.all,
    keys.instances.all,
    keys.shares.all,
    keys.isos.all,
    keys.exports.all,
    keys.storages.all,
    keys.locations,
    keys.mediaGroups,
    keys.billing.all,
    keys.usage.all,
  ].map(([root]) => root),
)

/** Whether the event stream keeps the data of a key fresh. */
export const isLiveKey = (key: QueryKey): boolean => LIVE.has(key[0])
