/** Metadata of images: the keys that a deployment acts upon, and others as lines of text. */

export const VM_MODE = 'vm_mode'
export const CONFIG_DRIVE = 'img_config_drive'
export const SSH_USER = 'ssh_user'

const KNOWN: readonly string[] = [VM_MODE, CONFIG_DRIVE, SSH_USER]

export type Metadata = Readonly<Record<string, string>>

/** The metadata of an image as the fields of a form have it. */
export interface TypedMetadata {
  vmMode: string
  configDrive: string
  sshUser: string
  /** The other keys, each in a line `key=value`. */
  others: string
}

/** Returns the lines of the keys that a deployment does not act upon. */
export function otherKeys(metadata: Metadata): [key: string, value: string][] {
  return Object.entries(metadata).filter(([key]) => !KNOWN.includes(key))
}

/** Returns metadata as fields show it. */
export function typedMetadata(metadata: Metadata): TypedMetadata {
  return {
    vmMode: metadata[VM_MODE] ?? '',
    configDrive: metadata[CONFIG_DRIVE] ?? '',
    sshUser: metadata[SSH_USER] ?? '',
    others: otherKeys(metadata)
      .map(([key, value]) => `${key}=${value}`)
      .join('\n'),
  }
}

/** Reads what was typed; a line without `=` is an error, as is a key that has a field of its own. */
export function parseMetadata(typed: TypedMetadata): { metadata: Metadata } | { problem: string } {
  const metadata: Record<string, string> = {}
  for (const line of typed.others.split('\n')) {
    if (line.trim() === '') continue
    const at = line.indexOf('=')
    const key = line.slice(0, Math.max(at, 0)).trim()
    if (at < 0 || key === '')
      return { problem: `Write each key as key=value; this line is “${line.trim()}”.` }
    if (KNOWN.includes(key)) return { problem: `${key} has a field of its own above.` }
    if (key in metadata) return { problem: `${key} is given twice.` }
    metadata[key] = line.slice(at + 1).trim()
  }
  const known = {
    [VM_MODE]: typed.vmMode,
    [CONFIG_DRIVE]: typed.configDrive,
    [SSH_USER]: typed.sshUser.trim(),
  }
  for (const [key, value] of Object.entries(known)) {
    if (value !== '') metadata[key] = value
  }
  return { metadata }
}

/** Returns the merge patch that makes new metadata of the old. */
export function metadataPatch(from: Metadata, to: Metadata): Record<string, string | null> {
  const removed = Object.keys(from).filter((key) => !(key in to))
  const changed = Object.entries(to).filter(([key, value]) => from[key] !== value)
  return { ...Object.fromEntries(removed.map((key) => [key, null])), ...Object.fromEntries(changed) }
}
