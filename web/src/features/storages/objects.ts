/** What objects of image storages are, and what can be done about them. */
import type { ImageStatus, ObjectAction, ObjectClass, StorageObject, StorageScan } from '@/api/types'
import { formatBytes, formatCount } from '@/lib/format'
import type { Tone } from '@/ui/Status'

interface ClassView {
  label: string
  tone: Tone
  detail: string
}

/**
 * What the classes are called, in the order in which they are shown: what an admin has to look at comes first. What
 * they mean (faults, actions, proposals) is in the scan.
 */
export const CLASSES: Record<ObjectClass, ClassView> = {
  missing: {
    label: 'Missing',
    tone: 'bad',
    detail: 'The file of an available image is not there',
  },
  digest_mismatch: {
    label: 'Other content',
    tone: 'bad',
    detail: 'The file of an available image has other bytes than were stored',
  },
  size_mismatch: {
    label: 'Other size',
    tone: 'bad',
    detail: 'The file of an available image has another size than was stored',
  },
  orphan: {
    label: 'Orphan',
    tone: 'warn',
    detail: 'Written by this installation; no image, task or share refers to it',
  },
  foreign: {
    label: 'Foreign',
    tone: 'warn',
    detail: 'Not written by this installation',
  },
  quarantined: {
    label: 'Quarantined',
    tone: 'idle',
    detail: 'Set aside; deleted 14 days later unless it is released',
  },
  failed_image: {
    label: 'Failed image',
    tone: 'idle',
    detail: 'The file of an image in error; it goes when the image is deleted',
  },
  in_progress: {
    label: 'In progress',
    tone: 'busy',
    detail: 'A task works with it, or it is younger than an hour',
  },
  stale_parent: {
    label: 'Image, instance gone',
    tone: 'good',
    detail: 'The file of an available image, as it has to be; the instance it was created from is gone',
  },
  image: {
    label: 'Image',
    tone: 'good',
    detail: 'The file of an available image, as it has to be',
  },
}

export const CLASS_NAMES = Object.keys(CLASSES) as ObjectClass[]

/** A class to list, or all that are faults. */
export type ClassFilter = ObjectClass | 'faults'

export const classChoices: { id: ClassFilter; label: string }[] = [
  { id: 'faults', label: 'All faults' },
  ...CLASS_NAMES.map((id) => ({ id, label: CLASSES[id].label })),
]

/** Returns a filter as parameters of the API. */
export const filterParams = (filter: ClassFilter | undefined): { class?: ObjectClass; fault?: true } => {
  if (filter === undefined) return {}
  return filter === 'faults' ? { fault: true } : { class: filter }
}

/** Returns how many objects a scan found that a filter lists. */
export const countOf = (scan: Pick<StorageScan, 'classes'>, filter: ClassFilter | undefined): number => {
  const isListed = (found: Found) =>
    filter === undefined || (filter === 'faults' ? found.fault : filter === found.class)
  return scan.classes.reduce((sum, found) => sum + (isListed(found) ? found.count : 0), 0)
}

export const ACTIONS: Record<ObjectAction, { label: string; detail: string; done: string }> = {
  quarantine: {
    label: 'Quarantine',
    detail: 'Deleted after 14 days; can be released until then',
    done: 'quarantined',
  },
  release: { label: 'Release', detail: 'Not deleted any more', done: 'released' },
  repair: {
    label: 'Repair',
    detail: 'The file is read again: the image becomes what it says, or is put in error',
    done: 'read again',
  },
  delete: { label: 'Delete', detail: 'Cannot be restored', done: 'deleted' },
}

/** What images' statuses are called beside their names. */
export const IMAGE_STATUSES: Record<ImageStatus, string> = {
  creating: 'Creating',
  available: 'Available',
  error: 'Error',
  deleting: 'Deleting',
}

const ADOPTED: ReadonlySet<ObjectClass> = new Set(['orphan', 'foreign', 'quarantined'])

/** Whether an image can be made of an object: nothing refers to it. */
export const isAdoptable = ({ class: name }: Pick<StorageObject, 'class'>): boolean => ADOPTED.has(name)

/** A class of a scan: its figures, and what can be done about its objects. */
export type Found = StorageScan['classes'][number]

/** Returns what a scan found, in the order in which it is shown. */
export const foundBy = (scan: Pick<StorageScan, 'classes'>): Found[] =>
  CLASS_NAMES.flatMap((name) => scan.classes.filter((found) => found.class === name && found.count > 0))

/** Returns the last scan that compared everything. */
export const lastComplete = (scans: readonly StorageScan[] | undefined): StorageScan | undefined =>
  scans?.find((scan) => scan.state === 'complete')

export const activeScan = (scans: readonly StorageScan[] | undefined): StorageScan | undefined =>
  scans?.find((scan) => scan.state === 'active')

/** Returns how many objects of a scan an admin has to look at. */
export const faultCount = (scan: Pick<StorageScan, 'classes'>): number =>
  scan.classes.reduce((sum, found) => sum + (found.fault ? found.count : 0), 0)

/** Names the faults of a scan, such as `2 orphan, 1 missing`. */
export const faultText = (scan: Pick<StorageScan, 'classes'>): string =>
  foundBy(scan)
    .filter(({ fault }) => fault)
    .map((found) => `${formatCount(found.count)} ${CLASSES[found.class].label.toLowerCase()}`)
    .join(', ')

/** Formats a number of objects with their size, such as `2 objects, 1.5 GiB`; missing files have none. */
export function objectsText(count: number, bytes: number): string {
  const objects = `${formatCount(count)} ${count === 1 ? 'object' : 'objects'}`
  return bytes === 0 ? objects : `${objects}, ${formatBytes(bytes)}`
}
