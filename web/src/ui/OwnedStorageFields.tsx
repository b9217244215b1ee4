import type { OwnedKind, OwnedStorageValues } from '@/lib/owned-storage'
import { fieldProblem, moreProblem, ownedFields } from '@/lib/owned-storage'
import { Disclosure } from './Disclosure'
import { TextField } from './Field'

export interface OwnedStorageFieldsProps {
  kind: OwnedKind
  values: OwnedStorageValues
  onChange: (values: OwnedStorageValues) => void
  /** What the key of the object is for. */
  keyHelp: string
  /** Whether the object has to be named. */
  needsKey?: boolean
  /** Whether the form was submitted, so that what is missing is said. */
  submitted: boolean
  /** What the server said of a member, such as `settings/bucket`, `secrets` or `key`. */
  said: (member: string) => string | null
}

/** Asks for a bucket or a container of the account's own. */
export function OwnedStorageFields(props: OwnedStorageFieldsProps) {
  const { kind, values, onChange, keyHelp, needsKey = false, submitted, said } = props
  const keyProblem = needsKey && !values.key.trim() ? 'Say which object it is.' : null
  const isOfField = ownedFields(kind).some(({ setting }) => said(`settings/${setting}`) !== null)
  return (
    <>
      {ownedFields(kind).map((field) => (
        <TextField
          key={field.setting}
          label={field.label}
          optional={field.optional ?? false}
          {...(field.placeholder ? { placeholder: field.placeholder } : {})}
          {...(field.help ? { help: field.help } : {})}
          {...(field.secret ? { type: 'password', autoComplete: 'off' } : {})}
          value={values.settings[field.setting] ?? ''}
          onChange={(value) =>
            onChange({ ...values, settings: { ...values.settings, [field.setting]: value } })
          }
          problem={
            (submitted ? fieldProblem(field, values) : null) ??
            said(`${field.secret ? 'secrets' : 'settings'}/${field.setting}`)
          }
        />
      ))}
      <TextField
        label="Object"
        optional={!needsKey}
        placeholder="backups/web.qcow2"
        help={keyHelp}
        value={values.key}
        onChange={(key) => onChange({ ...values, key })}
        problem={(submitted ? keyProblem : null) ?? said('key')}
      />
      <Disclosure title="Further settings">
        <TextField
          label="Settings"
          optional
          rows={3}
          mono
          placeholder="addressing=virtual-host"
          help="One in each line, as for an image storage of that kind."
          value={values.more}
          onChange={(more) => onChange({ ...values, more })}
          problem={(submitted ? moreProblem(values) : null) ?? (isOfField ? null : said('settings'))}
        />
      </Disclosure>
    </>
  )
}

/** Returns whether a form with these fields may be sent. */
export const isComplete = (kind: OwnedKind, values: OwnedStorageValues, needsKey: boolean): boolean =>
  ownedFields(kind).every((field) => fieldProblem(field, values) === null) &&
  moreProblem(values) === null &&
  (!needsKey || values.key.trim() !== '')
