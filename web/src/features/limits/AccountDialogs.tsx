import { type FormEvent, useState } from 'react'
import { useCreateAccount, useEditAccount } from '@/api/queries/accounts'
import type { Account } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameProblem } from '@/lib/name'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { FormDialog } from '@/ui/Dialog'
import { SelectField, TextField } from '@/ui/Field'
import { MutedText } from '@/ui/Page'
import { LimitFields, parsedLimits, typedLimits } from './LimitFields'

const POINTERS = { images: '/image_limit', bytes: '/image_bytes_limit' }
const WITHOUT = "each location's limit"

/** Changes the limits of an account, which count its images in all locations together. */
export function EditAccountDialog({ account, onClose }: { account: Account; onClose: () => void }) {
  const [limits, setLimits] = useState(typedLimits(account.image_limit, account.image_bytes_limit))
  const [submitted, setSubmitted] = useState(false)
  const edit = useEditAccount()
  const refusal = edit.isError ? asProblem(edit.error) : null
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    const parsed = parsedLimits(limits)
    if (!parsed) return focusFirstInvalid(event.currentTarget)
    const patch = { image_limit: parsed.images, image_bytes_limit: parsed.bytes }
    edit.mutate({ account, patch }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Limits of ${account.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={edit.isPending}
      problem={unplaced(refusal)}
    >
      <LimitFields
        values={limits}
        onChange={(patch) => setLimits((old) => ({ ...old, ...patch }))}
        submitted={submitted}
        refusal={refusal}
        pointers={POINTERS}
        without={WITHOUT}
      />
      <MutedText>They count its images in all locations. Existing images stay when it has more.</MutedText>
    </FormDialog>
  )
}

const ROLES = [
  { id: 'customer', label: 'Customer', detail: 'Owns instances and images' },
  { id: 'admin', label: 'Admin', detail: 'Sees and changes everything' },
]

/** The shortest password, in characters. */
const MIN_PASSWORD = 8

const passwordProblem = (typed: string): string | null =>
  typed.length < MIN_PASSWORD ? `Enter at least ${MIN_PASSWORD} characters.` : null

export function AddAccountDialog({ onClose }: { onClose: () => void }) {
  const [values, setValues] = useState({ name: '', password: '', role: 'customer' })
  const [limits, setLimits] = useState(typedLimits(null, null))
  const [submitted, setSubmitted] = useState(false)
  const create = useCreateAccount()
  const set = (patch: Partial<typeof values>) => setValues((old) => ({ ...old, ...patch }))
  const errors = { name: nameProblem(values.name), password: passwordProblem(values.password) }
  const refusal = create.isError ? asProblem(create.error) : null
  const messageFor = (field: keyof typeof errors) => {
    const said = refusal?.field(`/${field}`)
    return (submitted ? errors[field] : null) ?? (said ? toSentence(said) : null)
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    const parsed = parsedLimits(limits)
    if (errors.name || errors.password || !parsed) return focusFirstInvalid(event.currentTarget)
    const body = {
      name: values.name.trim(),
      password: values.password,
      role: values.role as Account['role'],
      ...(parsed.images === null ? {} : { image_limit: parsed.images }),
      ...(parsed.bytes === null ? {} : { image_bytes_limit: parsed.bytes }),
    }
    create.mutate(body, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title="Add Account"
      onClose={onClose}
      onSubmit={submit}
      submit="Add Account"
      busy={create.isPending}
      problem={unplaced(refusal)}
    >
      <TextField
        label="Name"
        autoFocus
        autoComplete="off"
        value={values.name}
        onChange={(name) => set({ name })}
        problem={messageFor('name')}
      />
      <TextField
        label="Password"
        type="password"
        autoComplete="new-password"
        value={values.password}
        onChange={(password) => set({ password })}
        problem={messageFor('password')}
      />
      <SelectField label="Role" choices={ROLES} value={values.role} onChange={(role) => set({ role })} />
      <LimitFields
        values={limits}
        onChange={(patch) => setLimits((old) => ({ ...old, ...patch }))}
        submitted={submitted}
        refusal={refusal}
        pointers={POINTERS}
        without={WITHOUT}
      />
    </FormDialog>
  )
}
