import { formatBytes } from '@/lib/format'
import type { OwnedKind, OwnedStorageValues } from '@/lib/owned-storage'
import { SelectField, TextField } from '@/ui/Field'
import { FileDrop } from '@/ui/FileDrop'
import { Notice } from '@/ui/Notice'
import { OwnedStorageFields } from '@/ui/OwnedStorageFields'
import { MutedText } from '@/ui/Page'

interface FileFieldsProps {
  files: readonly File[]
  onFiles: (files: readonly File[]) => void
  problem: string | null
}

/** Files of this computer. */
export function FileFields({ files, onFiles, problem }: FileFieldsProps) {
  return (
    <>
      <FileDrop choose={files.length > 0 ? 'Choose others' : 'Choose files'} onFiles={onFiles}>
        {files.length === 0 ? (
          <p>
            Drop disk images here: qcow2, VHD, VHDX, VMDK, VDI, OVA or raw, also packed with gz, xz, zst, bz2,
            or the tar.gz of Compute Engine.
          </p>
        ) : (
          <ul aria-label="Chosen files">
            {files.map((file) => (
              <li key={`${file.name} ${file.size}`}>
                {file.name} <MutedText>{formatBytes(file.size)}</MutedText>
              </li>
            ))}
          </ul>
        )}
      </FileDrop>
      {problem && (
        <Notice tone="bad" role="alert" title={problem}>
          <p>An image is made of a disk image file.</p>
        </Notice>
      )}
    </>
  )
}

interface UrlFieldsProps {
  url: string
  headers: string
  onChange: (patch: { url?: string; headers?: string }) => void
  urlProblem: string | null
  headersProblem: string | null
}

/** The address of a file, and what its server wants. */
export function UrlFields({ url, headers, onChange, urlProblem, headersProblem }: UrlFieldsProps) {
  return (
    <>
      <TextField
        label="Address of the file"
        placeholder="https://images.example.com/debian-12.qcow2"
        help="Your provider’s machines fetch it. It is not shown again, as it may hold credentials."
        value={url}
        onChange={(typed) => onChange({ url: typed })}
        problem={urlProblem}
      />
      <TextField
        label="Header fields"
        optional
        rows={2}
        mono
        placeholder="Authorization: Bearer …"
        help="One in each line; sent to that server only."
        value={headers}
        onChange={(typed) => onChange({ headers: typed })}
        problem={headersProblem}
      />
    </>
  )
}

const STORAGES = [
  { id: 'owned-s3', label: 'S3' },
  { id: 'owned-swift', label: 'OpenStack Swift', detail: 'Large objects in pieces are one file' },
] as const

interface StorageFieldsProps {
  kind: OwnedKind
  typed: OwnedStorageValues
  onKind: (kind: OwnedKind) => void
  onChange: (typed: OwnedStorageValues) => void
  submitted: boolean
  said: (member: string) => string | null
}

/** An object in a storage of the customer's own. */
export function StorageFields({ kind, typed, onKind, onChange, submitted, said }: StorageFieldsProps) {
  return (
    <>
      <SelectField
        label="Kind of storage"
        choices={STORAGES}
        value={kind}
        onChange={(id) => onKind(STORAGES.find((known) => known.id === id)?.id ?? 'owned-s3')}
      />
      <OwnedStorageFields
        kind={kind}
        values={typed}
        onChange={onChange}
        keyHelp="The name of the disk in that storage."
        needsKey
        submitted={submitted}
        said={said}
      />
      <MutedText>The secrets are kept until the import is over, and are not shown again.</MutedText>
    </>
  )
}

export interface ImprintValues {
  server: string
  image: string
  token: string
}

interface ImprintFieldsProps {
  typed: ImprintValues
  onChange: (patch: Partial<ImprintValues>) => void
  problemOf: (field: keyof ImprintValues) => string | null
}

/** An image at another provider that runs Imprint. */
export function ImprintFields({ typed, onChange, problemOf }: ImprintFieldsProps) {
  return (
    <>
      <TextField
        label="Address of the other panel"
        placeholder="https://cloud.example.com"
        help="Where the image is now. That provider runs Imprint, too, and has exports enabled."
        value={typed.server}
        onChange={(server) => onChange({ server })}
        problem={problemOf('server')}
      />
      <TextField
        label="Id of the image"
        mono
        placeholder="img_…"
        help="It is on the page of the image there."
        value={typed.image}
        onChange={(image) => onChange({ image })}
        problem={problemOf('image')}
      />
      <TextField
        label="Token"
        type="password"
        help="An API token of your account there. It is kept until the import is over, and not shown again."
        value={typed.token}
        onChange={(token) => onChange({ token })}
        problem={problemOf('token')}
      />
    </>
  )
}
