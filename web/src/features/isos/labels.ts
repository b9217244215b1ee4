/** The labels of ISOs. */
import type { AdminIso } from '@/api/types'
import { OS_TYPES, type OsType, osChoices as osTypes } from '@/lib/os-types'
import type { Tone } from '@/ui/Status'

/** The choice of no family. */
export const ANY_OS = 'none'

export const osChoices = [{ id: ANY_OS, label: 'Not said' }, ...osTypes]

export const osLabel = (os: AdminIso['os_type']): string | null => (os ? OS_TYPES[os] : null)

/** Returns the chosen family, or `null`. */
export function osOf(choice: string): OsType | null {
  const known = Object.keys(OS_TYPES) as OsType[]
  return known.find((os) => os === choice) ?? null
}

const STATUSES: Record<AdminIso['status'], { name: string; tone: Tone }> = {
  registering: { name: 'Registering', tone: 'busy' },
  available: { name: 'Available', tone: 'good' },
  error: { name: 'Error', tone: 'bad' },
}

export const statusOf = (iso: AdminIso) => STATUSES[iso.status]
