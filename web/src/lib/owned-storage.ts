/**
 * A storage of the account's own, as a form asks for it: a bucket (S3) or a container (Swift) with
 * what is needed to sign in there.
 */

export type OwnedKind = 'owned-s3' | 'owned-swift'

/** What was typed: the values of fields by their settings, the key of the object, and the rest. */
export interface OwnedStorageValues {
  settings: Record<string, string>
  key: string
  /** Further settings: `name=value` in each line. */
  more: string
}

export const NO_OWNED_STORAGE: OwnedStorageValues = { settings: {}, key: '', more: '' }

export interface OwnedField {
  /** The name of the setting. */
  setting: string
  label: string
  placeholder?: string
  help?: string
  optional?: boolean
  secret?: boolean
}

const FIELDS: Record<OwnedKind, readonly OwnedField[]> = {
  'owned-s3': [
    {
      setting: 'endpoint',
      label: 'Endpoint',
      optional: true,
      placeholder: 'https://s3.example.com',
      help: 'Leave it empty for Amazon S3.',
    },
    { setting: 'region', label: 'Region', optional: true, placeholder: 'us-east-1' },
    { setting: 'bucket', label: 'Bucket', placeholder: 'my-disks' },
    { setting: 'access-key', label: 'Access key' },
    { setting: 'secret-key', label: 'Secret key', secret: true },
    { setting: 'session-token', label: 'Session token', optional: true, secret: true },
  ],
  'owned-swift': [
    { setting: 'auth-url', label: 'Sign-in address', placeholder: 'https://identity.example.com/v3' },
    { setting: 'user', label: 'User' },
    { setting: 'password', label: 'Password', secret: true },
    { setting: 'project', label: 'Project', optional: true },
    { setting: 'region', label: 'Region', optional: true },
    { setting: 'container', label: 'Container', placeholder: 'my-disks' },
  ],
}

/** Returns the fields of a kind of storage, in the order of the form. */
export const ownedFields = (kind: OwnedKind): readonly OwnedField[] => FIELDS[kind]

/** Returns what the API calls a kind. */
export const kindOf = (kind: OwnedKind) => (kind === 'owned-s3' ? 's3' : 'swift')

/** Returns why a required setting is missing, or `null`. */
export function fieldProblem(field: OwnedField, values: OwnedStorageValues): string | null {
  if (field.optional || values.settings[field.setting]?.trim()) return null
  return `${field.label} is needed.`
}

/** Returns why the further settings cannot be read, or `null`. */
export function moreProblem({ more }: OwnedStorageValues): string | null {
  const wrong = linesOf(more).find((line) => !/^[a-z0-9-]+=./.test(line))
  return wrong ? `Write each as name=value; “${wrong}” is not.` : null
}

const linesOf = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')

/** What the API takes: settings and secrets apart. */
export interface OwnedStorage {
  kind: string
  settings: Record<string, string>
  secrets: Record<string, string>
  key?: string
}

/** Returns the storage that was typed. */
export function ownedStorageOf(kind: OwnedKind, values: OwnedStorageValues): OwnedStorage {
  const typed = (secret: boolean) =>
    FIELDS[kind]
      .filter((field) => (field.secret ?? false) === secret)
      .map(({ setting }) => [setting, values.settings[setting]?.trim() ?? ''] as const)
      .filter(([, value]) => value !== '')
  const more = linesOf(values.more).map((line) => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)] as const
  })
  const key = values.key.trim()
  return {
    kind: kindOf(kind),
    settings: Object.fromEntries([...typed(false), ...more]),
    secrets: Object.fromEntries(typed(true)),
    ...(key ? { key } : {}),
  }
}
