import { type FormEvent, type ReactNode, useState } from 'react'
import { useCreateInstance } from '@/api/queries/instances'
import type { Image, InstanceCreate } from '@/api/types'
import { diskProblem, emptyDiskProblem, parseDiskGib } from '@/lib/disk'
import { focusFirstInvalid } from '@/lib/focus'
import { formatBytes, GIB, MIB } from '@/lib/format'
import { nameProblem } from '@/lib/name'
import { asProblem, toSentence } from '@/lib/problem'
import { parseSshKeys } from '@/lib/ssh'
import { Button } from '@/ui/Button'
import { Checkbox, FieldRow, SelectField, TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { ButtonRow, Card, Stack } from '@/ui/Page'
import { AccessFields, accessOf, NO_ACCESS, NoAccess } from './AccessFields'
import { EmptyDiskFields } from './EmptyDiskFields'

const VCPUS = [1, 2, 4, 8, 16].map((count) => ({ id: String(count), label: String(count) }))
const MEMORY = [256 * MIB, 512 * MIB, GIB, 2 * GIB, 4 * GIB, 8 * GIB, 16 * GIB].map((bytes) => ({
  id: String(bytes),
  label: formatBytes(bytes),
}))

const SYSTEMS = [
  { id: 'unsaid', label: 'Not said' },
  { id: 'linux', label: 'Linux' },
  { id: 'windows', label: 'Windows', detail: 'Its images have limits of their own' },
  { id: 'other', label: 'Other' },
]

export interface HypervisorChoice {
  id: string
  name: string
}

export interface CreateInstanceFormProps {
  image: Image | undefined
  /** The tabs with the images. */
  picker: ReactNode
  /** The hypervisors that the image can be deployed to. */
  hypervisors: readonly HypervisorChoice[]
  onCreated: (instanceId: string) => void
  onCancel: () => void
}

const EMPTY = {
  name: '',
  vcpus: '1',
  memory: String(512 * MIB),
  disk: '',
  hypervisor: 'any',
  system: 'unsaid',
  start: true,
  /** Whether the disk is empty, instead of that of an image. */
  empty: false,
  iso: '',
}

export function CreateInstanceForm({
  image,
  picker,
  hypervisors,
  onCreated,
  onCancel,
}: CreateInstanceFormProps) {
  const [values, setValues] = useState(EMPTY)
  const [access, setAccess] = useState(NO_ACCESS)
  const [submitted, setSubmitted] = useState(false)
  const create = useCreateInstance()
  const set = (patch: Partial<typeof EMPTY>) => setValues((old) => ({ ...old, ...patch }))

  // An image that is not chosen yet may take them.
  const takesAccess = !values.empty && (image?.cloud_init ?? true)
  const errors = {
    image: image || values.empty ? null : 'Choose an image',
    iso: values.iso || !values.empty ? null : 'Choose an ISO.',
    name: nameProblem(values.name),
    disk: values.empty
      ? emptyDiskProblem(values.disk)
      : diskProblem(values.disk, image?.virtual_size_bytes ?? 0),
    keys: takesAccess ? parseSshKeys(access.keys).problem : null,
  }
  const refusal = create.isError ? asProblem(create.error) : null
  const said = (pointer: string) => {
    const detail = refusal?.within(pointer)
    return detail ? toSentence(detail) : null
  }
  const messageFor = (field: keyof typeof errors, pointer: string) => {
    return (submitted ? errors[field] : null) ?? said(pointer)
  }

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (Object.values(errors).some(Boolean)) return focusFirstInvalid(event.currentTarget)
    create.mutate(
      { ...bodyOf(values, image), ...(takesAccess ? accessOf(access) : {}) },
      { onSuccess: ({ instance }) => onCreated(instance.id) },
    )
  }

  return (
    <form onSubmit={submit}>
      <Stack>
        <Card title="Image">
          <Checkbox
            label="Install a system from an ISO onto an empty disk"
            isSelected={values.empty}
            onChange={(empty) => set({ empty })}
          />
          {values.empty ? (
            <EmptyDiskFields
              iso={values.iso}
              onChange={(iso) => set({ iso })}
              problem={messageFor('iso', '/iso_id')}
            />
          ) : (
            picker
          )}
          {submitted && errors.image && (
            <ProblemNotice
              problem={{
                title: errors.image,
                detail: 'an instance is created from an image',
                requestId: null,
              }}
            />
          )}
        </Card>
        <Card title="Instance">
          <TextField
            label="Name"
            placeholder="web-2"
            value={values.name}
            onChange={(name) => set({ name })}
            problem={messageFor('name', '/name')}
          />
          <FieldRow>
            <SelectField
              label="vCPU"
              choices={VCPUS}
              value={values.vcpus}
              onChange={(vcpus) => set({ vcpus })}
            />
            <SelectField
              label="Memory"
              choices={MEMORY}
              value={values.memory}
              onChange={(memory) => set({ memory })}
            />
            <TextField
              label="Disk, GiB"
              inputMode="decimal"
              placeholder={values.empty ? '20' : sizeHint(image)}
              value={values.disk}
              onChange={(disk) => set({ disk })}
              problem={messageFor('disk', '/disk_size_bytes')}
              optional={!values.empty}
            />
          </FieldRow>
          {!values.empty && hypervisors.length > 1 && (
            <SelectField
              label="Hypervisor"
              choices={[
                { id: 'any', label: 'Any' },
                ...hypervisors.map(({ id, name }) => ({ id, label: name })),
              ]}
              value={values.hypervisor}
              onChange={(hypervisor) => set({ hypervisor })}
            />
          )}
          <SelectField
            label="Operating system"
            choices={SYSTEMS}
            value={values.system}
            onChange={(system) => set({ system })}
          />
          <Checkbox
            label="Start the instance after it is created"
            isSelected={values.start}
            onChange={(start) => set({ start })}
          />
        </Card>
        {!values.empty && (
          <Card title="Access">
            {takesAccess ? (
              <AccessFields
                values={access}
                onChange={(patch) => setAccess((old) => ({ ...old, ...patch }))}
                keysProblem={messageFor('keys', '/ssh_keys') ?? said('/ssh_key_ids')}
                scriptProblem={said('/user_script_id') ?? said('/user_data')}
              />
            ) : (
              <NoAccess />
            )}
          </Card>
        )}
        {refusal && <ProblemNotice problem={refusal} />}
        <ButtonRow>
          <Button type="submit" variant="primary" busy={create.isPending}>
            Create instance
          </Button>
          <Button variant="quiet" onPress={onCancel}>
            Cancel
          </Button>
        </ButtonRow>
      </Stack>
    </form>
  )
}

const sizeHint = (image: Image | undefined) =>
  image ? `same as image, ${formatBytes(image.virtual_size_bytes)}` : 'same as image'

function bodyOf(values: typeof EMPTY, image: Image | undefined): InstanceCreate {
  const disk = parseDiskGib(values.disk)
  return {
    ...(values.empty ? { iso_id: values.iso } : image ? { image_id: image.id } : {}),
    name: values.name.trim(),
    vcpus: Number(values.vcpus),
    memory_bytes: Number(values.memory),
    start: values.start,
    ...(disk === null ? {} : { disk_size_bytes: disk }),
    ...(values.system === 'unsaid' ? {} : { os_type: values.system as InstanceCreate['os_type'] }),
    ...(values.empty || values.hypervisor === 'any' ? {} : { hypervisor_id: values.hypervisor }),
  }
}
