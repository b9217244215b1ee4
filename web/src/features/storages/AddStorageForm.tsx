import { type FormEvent, useRef, useState } from 'react'
import { type TestSubject, useCreateStorage } from '@/api/queries/storages'
import type { ImageStorage, ImageStorageCreate, StorageKind } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameProblem } from '@/lib/name'
import { asProblem, type Problem, toSentence } from '@/lib/problem'
import { parseGib } from '@/lib/typed'
import { Button } from '@/ui/Button'
import { Disclosure } from '@/ui/Disclosure'
import { Checkbox, SelectField, TextField } from '@/ui/Field'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { ButtonRow, Card, Stack } from '@/ui/Page'
import { ConnectionTest } from './ConnectionTest'
import { settingProblems } from './connection-test'
import { roleChoices } from './labels'
import { parseWeight } from './numbers'
import { PlacementFields } from './PlacementFields'
import { SettingFields, settingProblem } from './SettingFields'
import type { Choice } from './StorageDialogs'
import { fieldsOf, parseLines, type SettingField, valuesOf } from './schema-fields'

export interface AddStorageFormProps {
  kinds: readonly StorageKind[]
  hypervisors: readonly Choice[]
  onCreated: (storage: ImageStorage) => void
  onCancel: () => void
}

const EMPTY = { name: '', role: 'customer', weight: '100', minFree: '', shared: false, lines: '' }

/** Registers an image storage. The fields of its settings come from the plugin's manifest. */
export function AddStorageForm({ kinds, hypervisors, onCreated, onCancel }: AddStorageFormProps) {
  const [values, setValues] = useState(EMPTY)
  const [kindName, setKindName] = useState(kinds[0]?.kind ?? '')
  const [typed, setTyped] = useState<Record<string, string>>({})
  const [submitted, setSubmitted] = useState(false)
  // What a connection test says of the settings as they were typed then.
  const [tested, setTested] = useState<Record<string, string>>({})
  const [testRefusal, setTestRefusal] = useState<Problem | null>(null)
  const [isTesting, setTesting] = useState(false)
  const form = useRef<HTMLFormElement>(null)
  const create = useCreateStorage()
  const set = (patch: Partial<typeof EMPTY>) => setValues((old) => ({ ...old, ...patch }))
  const kind = kinds.find((candidate) => candidate.kind === kindName)
  const hasSchema = kind?.schema != null
  const fields = fieldsOf(kind?.schema)
  const missing = (field: SettingField) =>
    field.isRequired && (typed[field.name] ?? field.initial) === '' ? 'Enter a value.' : null
  const errors = {
    name: nameProblem(values.name),
    weight: parseWeight(values.weight).problem,
    minFree: parseGib(values.minFree).problem,
    lines: hasSchema || parseLines(values.lines) ? null : 'Enter one NAME=VALUE on each line.',
  }
  const refusal = create.isError ? asProblem(create.error) : null
  const messageFor = (field: keyof typeof errors, pointer: string) => {
    const fromServer = refusal?.field(pointer)
    return (submitted ? errors[field] : null) ?? (fromServer ? toSentence(fromServer) : null)
  }
  const problemOf = (field: SettingField) =>
    (submitted || isTesting ? missing(field) : null) ??
    tested[field.name] ??
    settingProblem(testRefusal, field) ??
    settingProblem(refusal, field)
  const settings = () =>
    hasSchema ? valuesOf(fields, typed) : { settings: parseLines(values.lines) ?? {}, secrets: {} }
  const subject = (): TestSubject | null => {
    setTesting(true)
    setTested({})
    if (errors.lines || fields.some(missing)) {
      if (form.current) focusFirstInvalid(form.current)
      return null
    }
    return { kind: kindName, role: values.role as ImageStorage['role'], ...settings() }
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (Object.values(errors).some(Boolean) || fields.some(missing)) {
      return focusFirstInvalid(event.currentTarget)
    }
    const body: ImageStorageCreate = {
      name: values.name.trim(),
      role: values.role as ImageStorage['role'],
      kind: kindName,
      ...settings(),
      weight: parseWeight(values.weight).value,
      shared_path: values.shared,
      min_free_bytes: parseGib(values.minFree).value,
    }
    create.mutate(body, { onSuccess: onCreated })
  }
  return (
    <form ref={form} onSubmit={submit}>
      <Stack>
        <Card title="Storage">
          <TextField
            label="Name"
            placeholder="pool-1"
            value={values.name}
            onChange={(name) => set({ name })}
            problem={messageFor('name', '/name')}
          />
          <SelectField
            label="Use"
            choices={roleChoices}
            value={values.role}
            onChange={(role) => set({ role })}
            help="It cannot be changed later."
          />
          <SelectField
            label="Kind"
            choices={kinds.map(({ kind: id, summary }) => ({ id, label: id, detail: summary }))}
            value={kindName}
            onChange={(next) => {
              setKindName(next)
              setTyped({})
              setTested({})
              setTestRefusal(null)
              setTesting(false)
            }}
          />
          {kind?.conflict && (
            <Notice tone="warn" title="The hypervisors have different plugins for it">
              <p>{toSentence(kind.conflict)}</p>
            </Notice>
          )}
        </Card>
        <Card title="Settings">
          {!hasSchema && (
            <TextField
              label="Settings"
              rows={3}
              mono
              placeholder="path=/srv/images"
              help="One NAME=VALUE on each line. The plugin does not say which settings it has."
              value={values.lines}
              onChange={(lines) => set({ lines })}
              problem={messageFor('lines', '/settings/path')}
            />
          )}
          <SettingFields
            fields={fields}
            values={typed}
            onChange={(name, value) => {
              setTyped((old) => ({ ...old, [name]: value }))
              setTested(({ [name]: _, ...others }) => others)
            }}
            problemOf={problemOf}
          />
          {kindName === 'local' && (
            <Checkbox
              label="The path is the same storage on every machine"
              help="Otherwise it is bound to one hypervisor only."
              isSelected={values.shared}
              onChange={(isShared) => set({ shared: isShared })}
            />
          )}
        </Card>
        <Card title="Connection">
          <ConnectionTest
            key={kindName}
            hypervisors={hypervisors.filter(({ id }) =>
              kind?.hypervisors.some(({ hypervisor_id }) => hypervisor_id === id),
            )}
            subject={subject}
            fields={fields}
            onResult={(test) => setTested(settingProblems(test))}
            onRefusal={setTestRefusal}
          />
        </Card>
        <Disclosure title="Advanced">
          <PlacementFields
            values={values}
            onChange={set}
            problems={{
              weight: messageFor('weight', '/weight'),
              minFree: messageFor('minFree', '/min_free_bytes'),
            }}
          />
        </Disclosure>
        {refusal && <ProblemNotice problem={refusal} />}
        <ButtonRow>
          <Button type="submit" variant="primary" busy={create.isPending}>
            Add Image Storage
          </Button>
          <Button variant="quiet" onPress={onCancel}>
            Cancel
          </Button>
        </ButtonRow>
      </Stack>
    </form>
  )
}
