import { type FormEvent, useState } from 'react'
import { useLocations } from '@/api/queries/catalogue'
import { useImportImage } from '@/api/queries/images'
import type { ImageAndTask, ImageCreate, Location } from '@/api/types'
import { startUpload } from '@/api/uploads'
import { focusFirstInvalid } from '@/lib/focus'
import { formatBytes } from '@/lib/format'
import { nameOfFile } from '@/lib/image-file'
import { nameProblem } from '@/lib/name'
import {
  NO_OWNED_STORAGE,
  type OwnedKind,
  type OwnedStorageValues,
  ownedStorageOf,
} from '@/lib/owned-storage'
import { asProblem, toSentence } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { FieldRow, SelectField, TextField } from '@/ui/Field'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { isComplete } from '@/ui/OwnedStorageFields'
import { ButtonRow, Card, MutedText, Stack } from '@/ui/Page'
import { FileFields, ImprintFields, type ImprintValues, StorageFields, UrlFields } from './SourceFields'
import {
  digestProblem,
  FORMATS,
  headersProblem,
  imageIdProblem,
  parseHeaders,
  serverProblem,
  urlProblem,
} from './typed'

const TITLES = { file: 'File', url: 'Address', storage: 'Object', imprint: 'Image there' }

export type ImportTab = keyof typeof TITLES

export interface ImportFormProps {
  /** Where the file comes from. */
  from: ImportTab
  onImported: () => void
  onCancel: () => void
}

const EMPTY = { name: '', url: '', headers: '', format: 'detect', digest: '', location: '' }

/** Where the request has what is typed about an image elsewhere. */
const POINTERS: Record<keyof ImprintValues, string> = {
  server: 'server',
  image: 'image_id',
  token: 'token',
}
const NO_IMPRINT: ImprintValues = { server: '', image: '', token: '' }

/** Asks for a file, an address, an object or an image elsewhere, and begins the import. */
export function ImportForm({ from, onImported, onCancel }: ImportFormProps) {
  const [values, setValues] = useState(EMPTY)
  const [files, setFiles] = useState<readonly File[]>([])
  const [kind, setKind] = useState<OwnedKind>('owned-s3')
  const [storage, setStorage] = useState(NO_OWNED_STORAGE)
  const [imprint, setImprint] = useState(NO_IMPRINT)
  const [submitted, setSubmitted] = useState(false)
  const locations = useLocations().data?.filter(({ import_enabled }) => import_enabled)
  const begin = useImportImage()
  const set = (patch: Partial<typeof EMPTY>) => setValues((old) => ({ ...old, ...patch }))
  const location = locations?.find(({ id }) => id === values.location) ?? locations?.[0]
  const refusal = begin.isError ? asProblem(begin.error) : null
  const said = (pointer: string) => {
    const detail = refusal?.within(pointer)
    return detail ? toSentence(detail) : null
  }
  const several = from === 'file' && files.length > 1
  const errors = {
    file: from === 'file' && files.length === 0 ? 'Choose a file.' : null,
    name: several ? null : nameProblem(values.name),
    url: from === 'url' ? urlProblem(values.url) : null,
    headers: from === 'url' ? headersProblem(values.headers) : null,
    digest: several || from === 'imprint' ? null : digestProblem(values.digest),
    storage:
      from === 'storage' && !isComplete(kind, storage, true) ? 'Fill in the fields of the storage.' : null,
  }
  const errorsThere: Record<keyof ImprintValues, string | null> = {
    server: serverProblem(imprint.server),
    image: imageIdProblem(imprint.image),
    token: imprint.token.trim() === '' ? 'Enter a token of your account there.' : null,
  }
  const areWrong = Object.values(errors).concat(from === 'imprint' ? Object.values(errorsThere) : [])
  const shown = (field: keyof typeof errors, pointer: string) =>
    (submitted ? errors[field] : null) ?? said(pointer)

  const choose = (chosen: readonly File[]) => {
    setFiles(chosen)
    const [first] = chosen
    if (first && !values.name) set({ name: nameOfFile(first.name) })
  }

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (!location || areWrong.some(Boolean)) return focusFirstInvalid(event.currentTarget)
    try {
      if (from === 'url') {
        await begin.mutateAsync(ofUrl(values, location))
      } else if (from === 'storage') {
        await begin.mutateAsync(ofStorage(values, location, kind, storage))
      } else if (from === 'imprint') {
        await begin.mutateAsync(ofImprint(values, location, imprint))
      } else {
        for (const file of files) {
          const name = several ? nameOfFile(file.name) : values.name.trim()
          const made: ImageAndTask = await begin.mutateAsync(ofFile(values, location, file, name, several))
          startUpload(made.image, file)
        }
      }
      onImported()
    } catch {
      // The form shows what the server said.
    }
  }

  if (locations && locations.length === 0) {
    return (
      <Notice title="Imports are not enabled">
        <p>Your provider has not enabled imports in any location.</p>
      </Notice>
    )
  }
  return (
    <form onSubmit={(event) => void submit(event)}>
      <Stack>
        <Card title={TITLES[from]}>
          {from === 'file' && (
            <FileFields files={files} onFiles={choose} problem={submitted ? errors.file : null} />
          )}
          {from === 'url' && (
            <UrlFields
              url={values.url}
              headers={values.headers}
              onChange={set}
              urlProblem={shown('url', '/source/url')}
              headersProblem={shown('headers', '/source/headers')}
            />
          )}
          {from === 'storage' && (
            <StorageFields
              kind={kind}
              typed={storage}
              onKind={setKind}
              onChange={setStorage}
              submitted={submitted}
              said={(member) => said(`/source/${member}`)}
            />
          )}
          {from === 'imprint' && (
            <ImprintFields
              typed={imprint}
              onChange={(patch) => setImprint((old) => ({ ...old, ...patch }))}
              problemOf={(field) =>
                (submitted ? errorsThere[field] : null) ?? said(`/source/${POINTERS[field]}`)
              }
            />
          )}
          {location && <Rules location={location} />}
        </Card>
        <Card title="Image">
          {!several && (
            <TextField
              label="Name"
              placeholder="debian-12"
              value={values.name}
              onChange={(name) => set({ name })}
              problem={shown('name', '/name')}
            />
          )}
          <FieldRow>
            {from !== 'imprint' && (
              <SelectField
                label="Format of the file"
                choices={FORMATS}
                value={values.format}
                onChange={(format) => set({ format })}
                problem={said('/source/format')}
              />
            )}
            {locations && locations.length > 1 && (
              <SelectField
                label="Location"
                choices={locations.map(({ id, name }) => ({ id, label: name }))}
                value={location?.id ?? ''}
                onChange={(chosen) => set({ location: chosen })}
              />
            )}
          </FieldRow>
          {!several && from !== 'imprint' && (
            <TextField
              label="Expected digest"
              optional
              mono
              placeholder="sha256:…"
              help="As the file’s publisher says it: sha256:, sha512: or md5: and the digits."
              value={values.digest}
              onChange={(digest) => set({ digest })}
              problem={shown('digest', '/source/digest')}
            />
          )}
        </Card>
        {refusal && refusal.fields.length === 0 && <ProblemNotice problem={refusal} />}
        <ButtonRow>
          <Button onPress={onCancel}>Cancel</Button>
          <Button type="submit" variant="primary" busy={begin.isPending}>
            {several ? `Import ${files.length} images` : 'Import'}
          </Button>
        </ButtonRow>
      </Stack>
    </form>
  )
}

/** What the location takes, before anything is sent. */
function Rules({ location }: { location: Location }) {
  const profile =
    location.import_profile === 'strict_vhd'
      ? 'A single file in VHD format'
      : 'A disk in the format raw, qcow2, VHD, VHDX, VMDK, VDI or OVA, plain or packed'
  return (
    <MutedText>
      {profile}; of at most {formatBytes(location.import_limit_bytes)}, as a guest sees it.{' '}
      {location.import_windows
        ? 'Windows is taken. Images of CDs and DVDs are refused.'
        : 'Windows, and images of CDs and DVDs, are refused.'}
    </MutedText>
  )
}

type Typed = typeof EMPTY

function ofFile(values: Typed, location: Location, file: File, name: string, several: boolean): ImageCreate {
  return {
    name,
    location_id: location.id,
    source: {
      type: 'upload',
      size_bytes: file.size,
      file_name: file.name,
      ...formatOf(values),
      ...(!several && values.digest.trim() ? { digest: values.digest.trim() } : {}),
    },
  }
}

function ofUrl(values: Typed, location: Location): ImageCreate {
  return {
    name: values.name.trim(),
    location_id: location.id,
    source: {
      type: 'url',
      url: values.url.trim(),
      headers: parseHeaders(values.headers),
      ...formatOf(values),
      ...(values.digest.trim() ? { digest: values.digest.trim() } : {}),
    },
  }
}

function ofStorage(
  values: Typed,
  location: Location,
  kind: OwnedKind,
  storage: OwnedStorageValues,
): ImageCreate {
  const { key = '', ...owned } = ownedStorageOf(kind, storage)
  return {
    name: values.name.trim(),
    location_id: location.id,
    source: {
      type: 'storage_object',
      ...owned,
      key,
      ...formatOf(values),
      ...(values.digest.trim() ? { digest: values.digest.trim() } : {}),
    },
  }
}

function ofImprint(values: Typed, location: Location, typed: ImprintValues): ImageCreate {
  const [server, image_id, token] = [typed.server.trim(), typed.image.trim(), typed.token.trim()]
  return {
    name: values.name.trim(),
    location_id: location.id,
    source: { type: 'imprint', server, image_id, token },
  }
}

type Format = NonNullable<Extract<ImageCreate['source'], { type: 'upload' }>['format']>

const formatOf = ({ format }: Typed): { format?: Format } =>
  format === 'detect' ? {} : { format: format as Format }
