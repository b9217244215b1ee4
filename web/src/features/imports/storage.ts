/** What is typed about an object in a storage of the customer's own. */

export interface StorageField {
  /** The name of the setting or secret; `key` is that of the object. */
  name: string
  label: string
  isSecret?: boolean
  isRequired?: boolean
  placeholder?: string
  help?: string
}

const KEY = { name: 'key', label: 'Object', isRequired: true, placeholder: 'backups/web.qcow2' }

const FIELDS = {
  s3: [
    { name: 'bucket', label: 'Bucket', isRequired: true },
    KEY,
    {
      name: 'endpoint',
      label: 'Endpoint',
      placeholder: 'https://s3.example.com',
      help: 'Empty for Amazon S3 in the region.',
    },
    { name: 'region', label: 'Region', placeholder: 'us-east-1' },
    { name: 'access-key', label: 'Access key', isRequired: true },
    { name: 'secret-key', label: 'Secret key', isRequired: true, isSecret: true },
    { name: 'session-token', label: 'Session token', isSecret: true, help: 'Of temporary keys.' },
  ],
  swift: [
    { name: 'container', label: 'Container', isRequired: true },
    KEY,
    {
      name: 'auth-url',
      label: 'Sign-in address',
      isRequired: true,
      placeholder: 'https://cloud.example.com/identity/v3',
    },
    { name: 'user', label: 'User', isRequired: true },
    { name: 'password', label: 'Password', isRequired: true, isSecret: true },
    { name: 'project', label: 'Project', isRequired: true },
    { name: 'region', label: 'Region' },
  ],
} satisfies Record<string, readonly StorageField[]>

export type StorageKind = keyof typeof FIELDS

export const STORAGES = [
  { id: 's3', label: 'S3' },
  { id: 'swift', label: 'OpenStack Swift', detail: 'Large objects in pieces are one file' },
]

/** The values of the fields, by their names. */
export type TypedStorage = Readonly<Record<string, string>>

export const storageFields = (kind: string): readonly StorageField[] =>
  kind === 'swift' ? FIELDS.swift : FIELDS.s3

const given = (typed: TypedStorage, { name }: StorageField) => (typed[name] ?? '').trim()

/** Returns why what is typed in a field cannot be sent. */
export function storageProblem(field: StorageField, typed: TypedStorage): string | null {
  if (given(typed, field) !== '' || !field.isRequired) return null
  return `Enter the ${field.label.toLowerCase()}.`
}

/** Returns the source of an import. */
export function storageSource(kind: string, typed: TypedStorage) {
  const filled = storageFields(kind).filter((field) => given(typed, field) !== '')
  const of = (isWanted: (field: StorageField) => boolean) =>
    Object.fromEntries(filled.filter(isWanted).map((field) => [field.name, given(typed, field)]))
  return {
    type: 'storage_object' as const,
    kind,
    key: (typed.key ?? '').trim(),
    settings: of(({ name, isSecret }) => !isSecret && name !== 'key'),
    secrets: of(({ isSecret }) => isSecret === true),
  }
}

/** Returns where the server says that a field is wrong. */
export function storagePointer({ name, isSecret }: StorageField): string {
  if (name === 'key') return '/source/key'
  return `/source/${isSecret ? 'secrets' : 'settings'}/${name}`
}
