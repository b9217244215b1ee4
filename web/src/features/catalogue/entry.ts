/** What an admin types about how a stock image is offered. */
import type { Image, StockImagePatch } from '@/api/types'
import type { OsType } from '@/lib/os-types'

/** The choice of no media group, and of no replacement. */
export const NONE = 'none'

export interface Entry {
  name: string
  description: string
  osType: OsType
  cloudInit: boolean
  group: string
  family: string
  version: string
  hidden: boolean
}

export const EMPTY_ENTRY: Entry = {
  name: '',
  description: '',
  osType: 'linux',
  cloudInit: true,
  group: NONE,
  family: '',
  version: '',
  hidden: false,
}

export const entryOf = (image: Image): Entry => ({
  name: image.name,
  description: image.description,
  osType: image.os_type,
  cloudInit: image.cloud_init,
  group: image.catalogue?.media_group_id ?? NONE,
  family: image.catalogue?.family ?? '',
  version: image.catalogue?.family_version ?? '',
  hidden: image.catalogue?.hidden ?? false,
})

/** Returns why a family and a version do not go together, for the field that is wrong. */
export function editionProblem({ family, version }: Pick<Entry, 'family' | 'version'>): {
  family: string | null
  version: string | null
} {
  const [hasFamily, hasVersion] = [family.trim() !== '', version.trim() !== '']
  return {
    family: hasVersion && !hasFamily ? 'Enter the family that this is a version of.' : null,
    version: hasFamily && !hasVersion ? 'Enter the version within the family.' : null,
  }
}

/** Returns the change of an image to what was typed. */
export function patchOf(entry: Entry): StockImagePatch {
  const [family, version] = [entry.family.trim(), entry.version.trim()]
  return {
    name: entry.name.trim(),
    description: entry.description.trim(),
    os_type: entry.osType,
    cloud_init: entry.cloudInit,
    media_group_id: entry.group === NONE ? null : entry.group,
    family: family === '' ? null : family,
    ...(version === '' ? {} : { family_version: version }),
    hidden: entry.hidden,
  }
}
