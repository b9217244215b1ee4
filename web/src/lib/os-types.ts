/** The operating systems of images, as the server names them. */

export const OS_TYPES = {
  linux: 'Linux',
  windows: 'Windows',
  bsd: 'BSD',
  other: 'Other',
} as const

export type OsType = keyof typeof OS_TYPES

export const osChoices = (Object.keys(OS_TYPES) as OsType[]).map((id) => ({ id, label: OS_TYPES[id] }))
