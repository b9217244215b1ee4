import { type FormEvent, useState } from 'react'
import { useEditSecrets } from '@/api/queries/storages'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { FormDialog } from '@/ui/Dialog'
import { Checkbox, TextField } from '@/ui/Field'
import { Stack } from '@/ui/Page'
import { ConnectionTest } from './ConnectionTest'
import type { Choice, StorageDialogProps } from './StorageDialogs'
import { labelIn, type SettingField } from './schema-fields'
import { newSecrets, secretNames, secretsPatch } from './secrets'

export interface SecretsDialogProps extends StorageDialogProps {
  /** The hypervisors that can test the storage. */
  testers: readonly Choice[]
  /** The settings of the storage's kind; none while they are not known. */
  fields: readonly SettingField[]
}

/** Sets and removes the secrets of an image storage. No answer of the server has their values. */
export function SecretsDialog({ storage, onClose, testers, fields }: SecretsDialogProps) {
  const [typed, setTyped] = useState<Record<string, string>>({})
  const [removed, setRemoved] = useState<readonly string[]>([])
  const edit = useEditSecrets()
  const names = secretNames(storage, fields)
  const patch = secretsPatch(names, typed, removed)
  const isEmpty = Object.keys(patch).length === 0
  const refusal = edit.isError ? asProblem(edit.error) : null
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    edit.mutate({ storage, secrets: patch }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Secrets of ${storage.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={edit.isPending}
      reason={isEmpty ? 'Type a new value, or choose one to remove.' : null}
      problem={unplaced(refusal)}
    >
      <p>Stored secrets are never shown. A field that is left empty changes nothing.</p>
      {names.map((name, index) => {
        const label = labelIn(fields, name)
        const isRequired = fields.find((field) => field.name === name)?.isRequired
        const stored = storage.secrets.find((secret) => secret.name === name)
        const isRemoved = removed.includes(name)
        const problem = refusal?.field(`/secrets/${name}`)
        return (
          <Stack key={name} tight>
            <TextField
              label={label}
              type="password"
              autoComplete="off"
              autoFocus={index === 0}
              value={typed[name] ?? ''}
              onChange={(value) => setTyped((old) => ({ ...old, [name]: value }))}
              isDisabled={isRemoved}
              help={stored ? `Set ${formatInstant(stored.changed_at)}.` : 'Not set.'}
              problem={problem ? toSentence(problem) : null}
            />
            {stored && !isRequired && (
              <Checkbox
                label={`Remove ${label}`}
                isSelected={isRemoved}
                onChange={(isSelected) =>
                  setRemoved((old) => (isSelected ? [...old, name] : old.filter((one) => one !== name)))
                }
              />
            )}
          </Stack>
        )
      })}
      <ConnectionTest
        hypervisors={testers}
        subject={() => ({ storageId: storage.id, secrets: newSecrets(patch) })}
        fields={fields}
      />
    </FormDialog>
  )
}
