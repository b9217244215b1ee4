/** The labels of ISOs. */
import type { AdminIso } from '@/api/types'
import type { Tone } from '@/ui/Status'

type OsType = NonNullable<AdminIso['os_type']>

const OS_TYPES: Record<OsType, string> = {
  linux: 'Linux',
  windows: 'Windows',
  bsd: 'BSD',
  other: 'Other',
}

/** The choice of no family. */
export const ANY_OS = 'none'

export const osChoices = [
  { id: ANY_OS, label: 'Not said' },
  ...Object.entries(OS_TYPES).map(([id, label]) => ({ id, label })),
]

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
