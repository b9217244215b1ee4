import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import {
  useAddUserScript,
  useDeleteUserScript,
  useEditUserScript,
  userScriptQuery,
} from '@/api/queries/saved'
import type { UserScript, UserScriptAndContent } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameProblem } from '@/lib/name'
import { asProblem, type Problem, toSentence, unplaced } from '@/lib/problem'
import { ConfirmDialog, Dialog, FormDialog } from '@/ui/Dialog'
import { TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { Skeleton } from '@/ui/Page'
import { scriptProblem } from './script'

interface ScriptFormProps {
  title: string
  submit: string
  first: { name: string; content: string }
  busy: boolean
  refusal: Problem | null
  onSubmit: (fields: { name: string; content: string }) => void
  onClose: () => void
}

function ScriptForm({ title, submit, first, busy, refusal, onSubmit, onClose }: ScriptFormProps) {
  const [values, setValues] = useState(first)
  const [submitted, setSubmitted] = useState(false)
  const errors = { name: nameProblem(values.name), content: scriptProblem(values.content) }
  const messageFor = (field: keyof typeof errors) => {
    const fromServer = refusal?.field(`/${field}`)
    return (submitted ? errors[field] : null) ?? (fromServer ? toSentence(fromServer) : null)
  }
  const send = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (errors.name || errors.content) return focusFirstInvalid(event.currentTarget)
    onSubmit({ name: values.name.trim(), content: values.content })
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
        label="Name"
        autoFocus
        placeholder="web-server"
        value={values.name}
        onChange={(name) => setValues((old) => ({ ...old, name }))}
        problem={messageFor('name')}
      />
      <TextField
        label="Script"
        rows={12}
        mono
        placeholder={'#!/bin/sh\napt-get install -y nginx'}
        help="Begins with #!, or with #cloud-config. It runs at the first boot of an instance."
        value={values.content}
        onChange={(content) => setValues((old) => ({ ...old, content }))}
        problem={messageFor('content')}
      />
    </FormDialog>
  )
}

export function AddUserScriptDialog({ onClose }: { onClose: () => void }) {
  const add = useAddUserScript()
  return (
    <ScriptForm
      title="Add User Script"
      submit="Add User Script"
      first={{ name: '', content: '' }}
      busy={add.isPending}
      refusal={add.isError ? asProblem(add.error) : null}
      onSubmit={(fields) => add.mutate(fields, { onSuccess: onClose })}
      onClose={onClose}
    />
  )
}

export interface UserScriptDialogProps {
  script: UserScript
  onClose: () => void
}

/** Loads the content of a script, then edits it. */
export function EditUserScriptDialog({ script, onClose }: UserScriptDialogProps) {
  const loaded = useQuery({ ...userScriptQuery(script.id), refetchOnWindowFocus: false })
  const title = `Edit ${script.name}`
  if (loaded.data) return <LoadedScript title={title} loaded={loaded.data} onClose={onClose} />
  return (
    <Dialog title={title} isOpen onClose={onClose}>
      {loaded.isError ? (
        <ProblemNotice problem={asProblem(loaded.error)} />
      ) : (
        <Skeleton label="Loading the script" />
      )}
    </Dialog>
  )
}

function LoadedScript(props: { title: string; loaded: UserScriptAndContent; onClose: () => void }) {
  // The version that was read first is the one that is changed, whatever is loaded meanwhile.
  const [{ script, content }] = useState(props.loaded)
  const edit = useEditUserScript()
  return (
    <ScriptForm
      title={props.title}
      submit="Save"
      first={{ name: script.name, content }}
      busy={edit.isPending}
      refusal={edit.isError ? asProblem(edit.error) : null}
      onSubmit={(fields) => edit.mutate({ script, fields }, { onSuccess: props.onClose })}
      onClose={props.onClose}
    />
  )
}

export function DeleteUserScriptDialog({ script, onClose }: UserScriptDialogProps) {
  const remove = useDeleteUserScript()
  return (
    <ConfirmDialog
      title={`Delete ${script.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => remove.mutate(script, { onSuccess: onClose })}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>New instances cannot be created with this script any more. Existing instances are not affected.</p>
    </ConfirmDialog>
  )
}
