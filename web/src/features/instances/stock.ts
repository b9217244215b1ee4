/** How stock images are shown together: media groups in their order, families with their versions. */
import type { Image, MediaGroup } from '@/api/types'

/** Images that are chosen from as one: the versions of a family in a location, or a single image. */
export interface StockEntry {
  key: string
  /** The version that is deployed unless another one is chosen. */
  first: Image
  /** All versions, the latest first. */
  versions: readonly Image[]
}

/** Entries under one heading. */
export interface StockSection {
  key: string
  /** The label of a media group; `null` for images without one. */
  label: string | null
  description: string
  entries: readonly StockEntry[]
}

/** Compares versions as the server does: sequences of digits as numbers. */
export function compareVersions(left: string, right: string): number {
  const runs = (text: string) => text.match(/\d+|\D+/g) ?? []
  const [one, two] = [runs(left), runs(right)]
  for (const [index, run] of one.entries()) {
    const other = two[index]
    if (other === undefined) return 1
    const order = compareRuns(run, other)
    if (order !== 0) return order
  }
  return one.length < two.length ? -1 : 0
}

function compareRuns(left: string, right: string): number {
  if (/^\d/.test(left) && /^\d/.test(right)) {
    const [one, two] = [left.replace(/^0+/, ''), right.replace(/^0+/, '')]
    if (one.length !== two.length) return one.length - two.length
    return one < two ? -1 : Number(one > two)
  }
  return left < right ? -1 : Number(left > right)
}

/** Puts the latest version first: what deployments by the family take, then by number. */
function byVersion(left: Image, right: Image): number {
  const latest = Number(right.catalogue?.latest ?? false) - Number(left.catalogue?.latest ?? false)
  const version = (image: Image) => image.catalogue?.family_version ?? ''
  return latest || compareVersions(version(right), version(left))
}

function entriesOf(images: readonly Image[]): StockEntry[] {
  const versions = new Map<string, Image[]>()
  for (const image of images) {
    const family = image.catalogue?.family
    const key = family ? `${family} ${image.location_id}` : image.id
    versions.set(key, [...(versions.get(key) ?? []), image])
  }
  return [...versions].flatMap(([key, found]) => {
    const sorted = [...found].sort(byVersion)
    const [first] = sorted
    return first ? [{ key, first, versions: sorted }] : []
  })
}

/** Returns the images under their groups, in the order of the groups; those without one come last. */
export function sectionsOf(images: readonly Image[], groups: readonly MediaGroup[]): StockSection[] {
  const groupOf = (image: Image) => groups.find(({ id }) => id === image.catalogue?.media_group_id)
  const rest = images.filter((image) => !groupOf(image))
  const sections = groups.map(({ id, label, description }) => ({
    key: id,
    label,
    description,
    entries: entriesOf(images.filter((image) => groupOf(image)?.id === id)),
  }))
  const last = { key: 'rest', label: null, description: '', entries: entriesOf(rest) }
  return [...sections, last].filter(({ entries }) => entries.length > 0)
}

/** Names a version, with what one has to know before it is chosen. */
export function versionLabel({ name, catalogue }: Image): string {
  const version = catalogue?.family_version ?? name
  if (catalogue?.deprecation) return `${version} (deprecated)`
  return catalogue?.latest ? `${version} (latest)` : version
}
