import { type FormEvent, type ReactNode, useState } from 'react'
import { useCreateInstance } from '@/api/queries/instances'
import type { Image, InstanceCreate } from '@/api/types'
import { focusFirstWrong } from '@/lib/focus'
import { formatBytes, GIB, MIB } from '@/lib/format'
import { nameProblem } from '@/lib/name'
import { asProblem, sentence } from '@/lib/problem'
import { parseSshKeys } from '@/lib/ssh'
import { Button } from '@/ui/Button'
import { Disclosure } from '@/ui/Disclosure'
import { Checkbox, FieldRow, SelectField, TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { Bar, Card, Stack } from '@/ui/Page'
import { diskProblem, parseDiskGib } from './disk'

const VCPUS = [1, 2, 4, 8, 16].map((count) => ({ id: String(count), label: String(count) }))
const MEMORY = [256 * MIB, 512 * MIB, GIB, 2 * GIB, 4 * GIB, 8 * GIB, 16 * GIB].map((bytes) => ({
  id: String(bytes),
  label: formatBytes(bytes),
}))

export interface Place {
  id: string
  name: string
}

export interface CreateInstanceFormProps {
  image: Image | undefined
  /** The image tabs. */
  picker: ReactNode
  /** Hypervisors that the image can be deployed to. */
  places: readonly Place[]
  onCreated: (instanceId: string) => void
  onCancel: () => void
}

const EMPTY = {
  name: '',
  vcpus: '1',
  memory: String(512 * MIB),
  disk: '',
  keys: '',
  userData: '',
  place: 'any',
  start: true,
}

export function CreateInstanceForm({ image, picker, places, onCreated, onCancel }: CreateInstanceFormProps) {
  const [values, setValues] = useState(EMPTY)
  const [tried, setTried] = useState(false)
  const create = useCreateInstance()
  const set = (patch: Partial<typeof EMPTY>) => setValues((old) => ({ ...old, ...patch }))

  const wrong = {
    image: image ? null : 'Choose an image.',
    name: nameProblem(values.name),
    disk: diskProblem(values.disk, image?.virtual_size_bytes ?? 0),
    keys: parseSshKeys(values.keys).problem,
  }
  const refused = create.isError ? asProblem(create.error) : null
  const said = (field: keyof typeof wrong, pointer: string) => {
    const fromServer = refused?.field(pointer)
    return (tried ? wrong[field] : null) ?? (fromServer ? sentence(fromServer) : null)
  }

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setTried(true)
    if (!image || wrong.name || wrong.disk || wrong.keys) return focusFirstWrong(event.currentTarget)
    create.mutate(bodyOf(values, image), { onSuccess: ({ instance }) => onCreated(instance.id) })
  }

  return (
    <form onSubmit={submit}>
      <Stack>
        <Card title="Image">
          {picker}
          {tried && wrong.image && (
            <ProblemNotice
              problem={{ title: wrong.image, detail: 'Every instance starts from one.', requestId: null }}
            />
          )}
        </Card>
        <Card title="Instance">
          <TextField
            label="Name"
            placeholder="web-2"
            value={values.name}
            onChange={(name) => set({ name })}
            problem={said('name', '/name')}
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
              placeholder={image ? `as the image, ${formatBytes(image.virtual_size_bytes)}` : 'as the image'}
              value={values.disk}
              onChange={(disk) => set({ disk })}
              problem={said('disk', '/disk_size_bytes')}
              optional
            />
          </FieldRow>
          {places.length > 1 && (
            <SelectField
              label="Hypervisor"
              choices={[{ id: 'any', label: 'Any' }, ...places.map(({ id, name }) => ({ id, label: name }))]}
              value={values.place}
              onChange={(place) => set({ place })}
            />
          )}
          <Checkbox
            label="Start the instance once it is created"
            isSelected={values.start}
            onChange={(start) => set({ start })}
          />
        </Card>
        <Card title="Access">
          <TextField
            label="SSH keys"
            rows={3}
            mono
            optional
            placeholder="ssh-ed25519 AAAA… me@laptop"
            help="Public keys, one a line. They work when the image supports cloud-init."
            value={values.keys}
            onChange={(keys) => set({ keys })}
            problem={said('keys', '/ssh_keys')}
          />
          <Disclosure title="User data">
            <TextField
              label="User data"
              rows={6}
              mono
              optional
              placeholder={'#cloud-config\npackages: [nginx]'}
              help="A script or cloud-config, run at the first boot when the image supports cloud-init."
              value={values.userData}
              onChange={(userData) => set({ userData })}
            />
          </Disclosure>
        </Card>
        {refused && <ProblemNotice problem={refused} />}
        <Bar>
          <Button type="submit" look="primary" busy={create.isPending}>
            Create instance
          </Button>
          <Button look="quiet" onPress={onCancel}>
            Cancel
          </Button>
        </Bar>
      </Stack>
    </form>
  )
}

function bodyOf(values: typeof EMPTY, image: Image): InstanceCreate {
  const disk = parseDiskGib(values.disk)
  const { keys } = parseSshKeys(values.keys)
  return {
    image_id: image.id,
    name: values.name.trim(),
    vcpus: Number(values.vcpus),
    memory_bytes: Number(values.memory),
    start: values.start,
    ...(disk === null ? {} : { disk_size_bytes: disk }),
    ...(keys.length > 0 ? { ssh_keys: keys } : {}),
    ...(values.userData.trim() ? { user_data: values.userData } : {}),
    ...(values.place === 'any' ? {} : { hypervisor_id: values.place }),
  }
}
