import { type FormEvent, useState } from 'react'
import { useAddMediaGroup, useDeleteMediaGroup, useEditMediaGroup } from '@/api/queries/media-groups'
import type { MediaGroup } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameProblem } from '@/lib/name'
import { asProblem, type Problem, toSentence, unplaced } from '@/lib/problem'
import { ConfirmDialog, FormDialog } from '@/ui/Dialog'
import { Checkbox, TextField } from '@/ui/Field'

interface Fields {
  label: string
  description: string
  hidden: boolean
}

interface MediaGroupFormProps {
  title: string
  submit: string
  first: Fields
  busy: boolean
  refusal: Problem | null
  onSubmit: (fields: Fields) => void
  onClose: () => void
}

function MediaGroupForm({ title, submit, first, busy, refusal, onSubmit, onClose }: MediaGroupFormProps) {
  const [values, setValues] = useState(first)
  const [submitted, setSubmitted] = useState(false)
  const set = (patch: Partial<Fields>) => setValues((old) => ({ ...old, ...patch }))
  const problem = nameProblem(values.label)
  const said = (own: string | null, pointer: string) => {
    const fromServer = refusal?.field(pointer)
    return (submitted ? own : null) ?? (fromServer ? toSentence(fromServer) : null)
  }
  const send = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (problem) return focusFirstInvalid(event.currentTarget)
    onSubmit({ ...values, label: values.label.trim(), description: values.description.trim() })
  }
  return (
    <FormDialog
      title={title}
      onClose={onClose}
      onSubmit={send}
      submit={submit}
      busy={busy}
      problem={unplaced(refusal)}
    >
      <TextField
        label="Label"
        autoFocus
        placeholder="Linux"
        value={values.label}
        onChange={(label) => set({ label })}
        problem={said(problem, '/label')}
      />
      <TextField
        label="Description"
        rows={2}
        optional
        help="Shown under the label when an instance is created."
        value={values.description}
        onChange={(description) => set({ description })}
        problem={said(null, '/description')}
      />
      <Checkbox
        label="Hide from customers"
        help="Customers neither see nor deploy its images."
        isSelected={values.hidden}
        onChange={(hidden) => set({ hidden })}
      />
    </FormDialog>
  )
}

export function AddMediaGroupDialog({ onClose }: { onClose: () => void }) {
  const add = useAddMediaGroup()
  return (
    <MediaGroupForm
      title="Add Media Group"
      submit="Add Media Group"
      first={{ label: '', description: '', hidden: false }}
      busy={add.isPending}
      refusal={add.isError ? asProblem(add.error) : null}
      onSubmit={(fields) => add.mutate(fields, { onSuccess: onClose })}
      onClose={onClose}
    />
  )
}

export interface MediaGroupDialogProps {
  group: MediaGroup
  onClose: () => void
}

export function EditMediaGroupDialog({ group, onClose }: MediaGroupDialogProps) {
  const edit = useEditMediaGroup()
  const { label, description, hidden } = group
  return (
    <MediaGroupForm
      title={`Edit ${label}`}
      submit="Save"
      first={{ label, description, hidden }}
      busy={edit.isPending}
      refusal={edit.isError ? asProblem(edit.error) : null}
      onSubmit={(patch) => edit.mutate({ group, patch }, { onSuccess: onClose })}
      onClose={onClose}
    />
  )
}

export function DeleteMediaGroupDialog({ group, onClose }: MediaGroupDialogProps) {
  const remove = useDeleteMediaGroup()
  return (
    <ConfirmDialog
      title={`Delete ${group.label}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => remove.mutate(group, { onSuccess: onClose })}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>Only a media group without images can be deleted. Move its images to another one first.</p>
    </ConfirmDialog>
  )
}
