/** Which secrets an image storage can have, and what is sent to change them. */
import type { ImageStorage } from '@/api/types'
import type { SettingField } from './schema-fields'

/** Returns the names of the secrets that a kind has, and of others that are set. */
export function secretNames(
  storage: Pick<ImageStorage, 'secrets'>,
  fields: readonly SettingField[],
): string[] {
  const ofKind = fields.filter(({ isSecret }) => isSecret).map(({ name }) => name)
  const others = storage.secrets.map(({ name }) => name).filter((name) => !ofKind.includes(name))
  return [...ofKind, ...others]
}

/** Returns the new values; `null` removes a secret, and those that are not named stay. */
export function secretsPatch(
  names: readonly string[],
  typed: Readonly<Record<string, string>>,
  removed: readonly string[],
): Record<string, string | null> {
  const patch: Record<string, string | null> = {}
  for (const name of names) {
    if (removed.includes(name)) patch[name] = null
    else if (typed[name]) patch[name] = typed[name]
  }
  return patch
}

/** Returns the values that a test tries instead of the stored ones; removed ones have none. */
export function newSecrets(patch: Readonly<Record<string, string | null>>): Record<string, string> {
  const secrets: Record<string, string> = {}
  for (const [name, value] of Object.entries(patch)) {
    if (value !== null) secrets[name] = value
  }
  return secrets
}
