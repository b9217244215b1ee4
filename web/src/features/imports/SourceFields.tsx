import { formatBytes } from '@/lib/format'
import { SelectField, TextField } from '@/ui/Field'
import { FileDrop } from '@/ui/FileDrop'
import { Notice } from '@/ui/Notice'
import { MutedText } from '@/ui/Page'
import { STORAGES, type StorageField, storageFields, type TypedStorage } from './storage'

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

interface StorageFieldsProps {
  kind: string
  typed: TypedStorage
  onKind: (kind: string) => void
  onChange: (typed: TypedStorage) => void
  problemOf: (field: StorageField) => string | null
}

/** An object in a storage of the customer's own. */
export function StorageFields({ kind, typed, onKind, onChange, problemOf }: StorageFieldsProps) {
  return (
    <>
      <SelectField label="Kind of storage" choices={STORAGES} value={kind} onChange={onKind} />
      {storageFields(kind).map((field) => (
        <TextField
          key={field.name}
          label={field.label}
          value={typed[field.name] ?? ''}
          onChange={(value) => onChange({ ...typed, [field.name]: value })}
          problem={problemOf(field)}
          optional={!field.isRequired}
          {...(field.placeholder ? { placeholder: field.placeholder } : {})}
          {...(field.help ? { help: field.help } : {})}
          {...(field.isSecret ? { type: 'password', autoComplete: 'off' } : {})}
        />
      ))}
      <MutedText>The secrets are kept until the import is over, and are not shown again.</MutedText>
    </>
  )
}
