import { type FormEvent, useState } from 'react'
import { useEditSecrets } from '@/api/queries/storages'
import { asProblem, toSentence } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { Dialog, DialogActions } from '@/ui/Dialog'
import { Checkbox, TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
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
    <Dialog title={`Secrets of ${storage.name}`} isOpen onClose={onClose}>
      <form onSubmit={submit}>
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
        {refusal && refusal.fields.length === 0 && <ProblemNotice problem={refusal} />}
        <DialogActions>
          <Button onPress={onClose}>Cancel</Button>
          <Button
            type="submit"
            variant="primary"
            busy={edit.isPending}
            reason={isEmpty ? 'Type a new value, or choose one to remove.' : null}
          >
            Save
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
