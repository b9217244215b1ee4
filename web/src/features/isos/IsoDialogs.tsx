import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { useLocations } from '@/api/queries/catalogue'
import { useDeleteIso, useEditIso, useRegisterIso } from '@/api/queries/isos'
import { objectsQuery, scansQuery } from '@/api/queries/storage-objects'
import { storagesQuery } from '@/api/queries/storages'
import type { AdminIso } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { formatBytes } from '@/lib/format'
import { nameProblem } from '@/lib/name'
import { asProblem, type Problem, toSentence, unplaced } from '@/lib/problem'
import { ConfirmDialog, FormDialog } from '@/ui/Dialog'
import { Checkbox, SelectField, TextField } from '@/ui/Field'
import { MutedText } from '@/ui/Page'
import { ANY_OS, osChoices, osOf } from './labels'

const messageOf = (refusal: Problem | null, pointer: string) => {
  const detail = refusal?.field(pointer)
  return detail ? toSentence(detail) : null
}

interface Described {
  name: string
  description: string
  os: string
  hidden: boolean
}

function DescriptionFields(props: {
  values: Described
  onChange: (patch: Partial<Described>) => void
  nameProblem: string | null
  descriptionProblem: string | null
}) {
  const { values, onChange } = props
  return (
    <>
      <TextField
        label="Name"
        placeholder="Debian 12 installer"
        value={values.name}
        onChange={(name) => onChange({ name })}
        problem={props.nameProblem}
      />
      <TextField
        label="Description"
        rows={2}
        optional
        value={values.description}
        onChange={(description) => onChange({ description })}
        problem={props.descriptionProblem}
      />
      <SelectField label="System" choices={osChoices} value={values.os} onChange={(os) => onChange({ os })} />
      <Checkbox
        label="Hide it from customers"
        help="Instances that have it mounted keep it."
        isSelected={values.hidden}
        onChange={(hidden) => onChange({ hidden })}
      />
    </>
  )
}

/** Registers a file of a storage with the role `iso`. */
export function RegisterIsoDialog({ onClose }: { onClose: () => void }) {
  const [values, setValues] = useState<Described>({ name: '', description: '', os: ANY_OS, hidden: false })
  const [file, setFile] = useState({ storage: '', key: '', location: '' })
  const [submitted, setSubmitted] = useState(false)
  const { data: storages = [] } = useQuery(storagesQuery({ role: 'iso' }))
  const { data: locations = [] } = useLocations()
  const storageId = file.storage || (storages[0]?.id ?? '')
  const locationId = file.location || (locations[0]?.id ?? '')
  const register = useRegisterIso()
  const refusal = register.isError ? asProblem(register.error) : null
  const errors = {
    storage: storageId ? null : 'Add an image storage with the role ISOs first.',
    key: file.key.trim() ? null : 'Choose the file, or enter its key.',
    name: nameProblem(values.name),
  }
  const messageFor = (field: keyof typeof errors, pointer: string) =>
    (submitted ? errors[field] : null) ?? messageOf(refusal, pointer)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (Object.values(errors).some(Boolean)) return focusFirstInvalid(event.currentTarget)
    const os = osOf(values.os)
    register.mutate(
      {
        name: values.name.trim(),
        description: values.description,
        hidden: values.hidden,
        storage_id: storageId,
        key: file.key.trim(),
        location_id: locationId,
        ...(os ? { os_type: os } : {}),
      },
      { onSuccess: onClose },
    )
  }
  return (
    <FormDialog
      title="Add ISO"
      onClose={onClose}
      onSubmit={submit}
      submit="Add ISO"
      busy={register.isPending}
      problem={unplaced(refusal)}
    >
      <p>The file stays where it is; a task checks that it is the image of a CD and reads its digest.</p>
      <SelectField
        label="Image storage"
        choices={storages.map(({ id, name }) => ({ id, label: name }))}
        value={storageId}
        onChange={(storage) => setFile((old) => ({ ...old, storage, key: '' }))}
        problem={messageFor('storage', '/storage_id')}
      />
      {storageId && (
        <FilesOfStorage
          storageId={storageId}
          chosen={file.key}
          onChoose={(key) => setFile((old) => ({ ...old, key }))}
        />
      )}
      <TextField
        label="File"
        mono
        placeholder="debian-12.iso"
        help="The key of the file in the storage."
        value={file.key}
        onChange={(key) => setFile((old) => ({ ...old, key }))}
        problem={messageFor('key', '/key')}
      />
      <SelectField
        label="Location"
        choices={locations.map(({ id, name }) => ({ id, label: name }))}
        value={locationId}
        onChange={(location) => setFile((old) => ({ ...old, location }))}
        help="Where it can be mounted."
        problem={messageOf(refusal, '/location_id')}
      />
      <DescriptionFields
        values={values}
        onChange={(patch) => setValues((old) => ({ ...old, ...patch }))}
        nameProblem={messageFor('name', '/name')}
        descriptionProblem={messageOf(refusal, '/description')}
      />
    </FormDialog>
  )
}

interface FilesProps {
  storageId: string
  chosen: string
  onChoose: (key: string) => void
}

/** What the last scan of a storage found, to choose a file of it. */
function FilesOfStorage(props: FilesProps) {
  const scans = useQuery(scansQuery(props.storageId))
  const scan = scans.data?.find(({ state }) => state === 'complete')
  if (!scan) return <MutedText>Scan the storage to choose among its files.</MutedText>
  return <FilesOfScan {...props} scanId={scan.id} />
}

function FilesOfScan(props: FilesProps & { scanId: string }) {
  const { data } = useQuery(objectsQuery(props.storageId, { scan_id: props.scanId }))
  const files = data?.items ?? []
  if (files.length === 0) return <MutedText>The last scan found no files in the storage.</MutedText>
  const typed = files.some(({ key }) => key === props.chosen) ? [] : [{ id: '', label: 'As entered below' }]
  return (
    <SelectField
      label="Files in the storage"
      choices={[
        ...typed,
        ...files.map(({ key, size_bytes }) => ({ id: key, label: `${key} (${formatBytes(size_bytes)})` })),
      ]}
      value={typed.length > 0 ? '' : props.chosen}
      onChange={props.onChoose}
    />
  )
}

export interface IsoDialogProps {
  iso: AdminIso
  onClose: () => void
}

export function EditIsoDialog({ iso, onClose }: IsoDialogProps) {
  const [values, setValues] = useState<Described>({
    name: iso.name,
    description: iso.description,
    os: iso.os_type ?? ANY_OS,
    hidden: iso.hidden,
  })
  const [submitted, setSubmitted] = useState(false)
  const edit = useEditIso()
  const refusal = edit.isError ? asProblem(edit.error) : null
  const problem = nameProblem(values.name)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (problem) return focusFirstInvalid(event.currentTarget)
    const patch = {
      name: values.name.trim(),
      description: values.description,
      os_type: osOf(values.os),
      hidden: values.hidden,
    }
    edit.mutate({ iso, patch }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Edit ${iso.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={edit.isPending}
      problem={unplaced(refusal)}
    >
      <DescriptionFields
        values={values}
        onChange={(patch) => setValues((old) => ({ ...old, ...patch }))}
        nameProblem={(submitted ? problem : null) ?? messageOf(refusal, '/name')}
        descriptionProblem={messageOf(refusal, '/description')}
      />
    </FormDialog>
  )
}

export function DeleteIsoDialog({ iso, onClose }: IsoDialogProps) {
  const remove = useDeleteIso()
  return (
    <ConfirmDialog
      title={`Delete ${iso.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => remove.mutate(iso, { onSuccess: onClose })}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>Customers cannot mount it any more. Its file stays on its storage.</p>
    </ConfirmDialog>
  )
}
