import { type FormEvent, useState } from 'react'
import { useBindStorage, useDeleteStorage, useEditStorage, useUnbindStorage } from '@/api/queries/storages'
import type { ImageStorage, ImageStoragePatch } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { GIB } from '@/lib/format'
import { nameProblem } from '@/lib/name'
import { asProblem, type Problem, toSentence, unplaced } from '@/lib/problem'
import { parseGib } from '@/lib/typed'
import { ConfirmDialog, FormDialog } from '@/ui/Dialog'
import { Checkbox, SelectField, TextField } from '@/ui/Field'
import { Notice } from '@/ui/Notice'
import { MutedText } from '@/ui/Page'
import { ConnectionTest } from './ConnectionTest'
import { settingProblems } from './connection-test'
import { imageCount } from './labels'
import { parseWeight } from './numbers'
import { PlacementFields } from './PlacementFields'
import { SettingFields, settingProblem } from './SettingFields'
import { type SettingField, valuesOf } from './schema-fields'

export interface StorageDialogProps {
  storage: ImageStorage
  onClose: () => void
}

/** A thing to choose by its id. */
export interface Choice {
  id: string
  name: string
}

export interface EditStorageDialogProps extends StorageDialogProps {
  /** The hypervisors that can test the storage. */
  testers: readonly Choice[]
  /** The settings of the storage's kind; none while they are not known. */
  fields: readonly SettingField[]
}

export function EditStorageDialog({ storage, onClose, testers, fields }: EditStorageDialogProps) {
  const shown = fields.filter((field) => !field.isSecret)
  const [values, setValues] = useState({
    name: storage.name,
    weight: String(storage.weight),
    minFree: storage.min_free_bytes == null ? '' : String(storage.min_free_bytes / GIB),
    shared: storage.shared_path,
  })
  const [settings, setSettings] = useState<Record<string, string>>(storage.settings)
  const [submitted, setSubmitted] = useState(false)
  /** What the connection test said of settings that were not changed since. */
  const [tested, setTested] = useState<Record<string, string>>({})
  const [testRefusal, setTestRefusal] = useState<Problem | null>(null)
  const edit = useEditStorage()
  const set = (patch: Partial<typeof values>) => setValues((old) => ({ ...old, ...patch }))
  const errors = {
    name: nameProblem(values.name),
    weight: parseWeight(values.weight).problem,
    minFree: parseGib(values.minFree).problem,
  }
  const refusal = edit.isError ? asProblem(edit.error) : null
  const messageFor = (field: keyof typeof errors, pointer: string) => {
    const fromServer = refusal?.field(pointer)
    return (submitted ? errors[field] : null) ?? (fromServer ? toSentence(fromServer) : null)
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (errors.name || errors.weight || errors.minFree) return focusFirstInvalid(event.currentTarget)
    const patch: ImageStoragePatch = {
      name: values.name.trim(),
      weight: parseWeight(values.weight).value,
      min_free_bytes: parseGib(values.minFree).value,
      ...(storage.kind === 'local' ? { shared_path: values.shared } : {}),
      ...(shown.length > 0 ? { settings: valuesOf(shown, settings).settings } : {}),
    }
    edit.mutate({ storage, patch }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Edit ${storage.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={edit.isPending}
      problem={unplaced(refusal)}
    >
      <TextField
        label="Name"
        value={values.name}
        onChange={(name) => set({ name })}
        autoFocus
        problem={messageFor('name', '/name')}
      />
      <PlacementFields
        values={values}
        onChange={set}
        problems={{
          weight: messageFor('weight', '/weight'),
          minFree: messageFor('minFree', '/min_free_bytes'),
        }}
      />
      <SettingFields
        fields={shown}
        values={settings}
        onChange={(name, value) => {
          setSettings((old) => ({ ...old, [name]: value }))
          setTested(({ [name]: _, ...others }) => others)
        }}
        problemOf={(field) =>
          tested[field.name] ?? settingProblem(testRefusal, field) ?? settingProblem(refusal, field)
        }
      />
      {storage.kind === 'local' && (
        <Checkbox
          label="The path is the same storage on every machine"
          isSelected={values.shared}
          onChange={(isShared) => set({ shared: isShared })}
        />
      )}
      {shown.length > 0 && (
        <>
          <MutedText>Files do not move when a setting changes.</MutedText>
          <ConnectionTest
            hypervisors={testers}
            subject={() => ({ storageId: storage.id, settings: valuesOf(shown, settings).settings })}
            fields={fields}
            onResult={(test) => setTested(settingProblems(test))}
            onRefusal={setTestRefusal}
          />
        </>
      )}
    </FormDialog>
  )
}

export function BindStorageDialog({
  storage,
  onClose,
  hypervisors,
}: StorageDialogProps & { hypervisors: readonly Choice[] }) {
  const free = hypervisors.filter(({ id }) => !storage.hypervisor_ids.includes(id))
  const [chosen, setChosen] = useState(free[0]?.id ?? '')
  const bind = useBindStorage()
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (chosen) bind.mutate({ storage, hypervisorId: chosen }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Bind ${storage.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Bind"
      busy={bind.isPending}
      reason={free.length === 0 ? 'There is no other hypervisor.' : null}
      problem={bind.isError ? asProblem(bind.error) : null}
    >
      {free.length === 0 ? (
        <p>It is bound to every hypervisor.</p>
      ) : (
        <SelectField
          label="Hypervisor"
          choices={free.map(({ id, name }) => ({ id, label: name }))}
          value={chosen}
          onChange={setChosen}
          help="Images of instances on it can then be created on this storage."
        />
      )}
    </FormDialog>
  )
}

export function UnbindStorageDialog({
  storage,
  onClose,
  hypervisor,
}: StorageDialogProps & { hypervisor: Choice }) {
  const unbind = useUnbindStorage()
  const count = imageCount(storage)
  const isLast = storage.hypervisor_ids.length === 1 && count > 0
  const confirm = () =>
    unbind.mutate({ storage, hypervisorId: hypervisor.id, force: isLast }, { onSuccess: onClose })
  return (
    <ConfirmDialog
      title={`Unbind ${storage.name} from ${hypervisor.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={confirm}
      confirm={isLast ? 'Unbind anyway' : 'Unbind'}
      busy={unbind.isPending}
      problem={unbind.isError ? asProblem(unbind.error) : null}
    >
      <p>The hypervisor does not use the storage any more. Files are not touched.</p>
      {isLast && (
        <Notice tone="warn" title="It is the only hypervisor of this storage">
          <p>
            {count === 1 ? 'One image is' : `${count} images are`} on it. Nothing can deploy them until the
            storage is bound again.
          </p>
        </Notice>
      )}
    </ConfirmDialog>
  )
}

const ANY = 'any'

export function DrainStorageDialog({
  storage,
  onClose,
  targets,
}: StorageDialogProps & { targets: readonly Choice[] }) {
  const [target, setTarget] = useState(ANY)
  const edit = useEditStorage()
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const patch: ImageStoragePatch = { state: 'draining', drain_to: target === ANY ? null : target }
    edit.mutate({ storage, patch }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Drain ${storage.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Drain"
      busy={edit.isPending}
      problem={edit.isError ? asProblem(edit.error) : null}
    >
      <p>
        Its images move to other storages in the background, and stay usable meanwhile. It takes no new
        images.
      </p>
      <SelectField
        label="Move images to"
        choices={[
          { id: ANY, label: 'Whatever takes each image' },
          ...targets.map(({ id, name }) => ({ id, label: name })),
        ]}
        value={target}
        onChange={setTarget}
      />
    </FormDialog>
  )
}

export function DeleteStorageDialog({
  storage,
  onClose,
  onDeleted,
}: StorageDialogProps & { onDeleted?: () => void }) {
  const remove = useDeleteStorage()
  const confirm = () =>
    // Not a callback of `mutate`: the page may be gone when the list is loaded again.
    remove.mutateAsync(storage).then(
      () => {
        onClose()
        onDeleted?.()
      },
      () => {},
    )
  return (
    <ConfirmDialog
      title={`Delete ${storage.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={confirm}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>Imprint forgets the storage, its settings and its secrets.</p>
      <p>Files on the storage are not touched.</p>
    </ConfirmDialog>
  )
}
