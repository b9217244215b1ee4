import { type FormEvent, useState } from 'react'
import { useAddSshKey, useDeleteSshKey, useRenameSshKey } from '@/api/queries/saved'
import type { SshKey } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameProblem } from '@/lib/name'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { parseSshKeys } from '@/lib/ssh'
import { ConfirmDialog, FormDialog } from '@/ui/Dialog'
import { TextField } from '@/ui/Field'

function keyProblem(text: string): string | null {
  const { keys, problem } = parseSshKeys(text)
  if (problem) return problem
  if (keys.length === 0) return 'Enter the public key, such as "ssh-ed25519 AAAA… me@laptop".'
  return keys.length > 1 ? 'Enter one key. Save another one on its own.' : null
}

export function AddSshKeyDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('')
  const [key, setKey] = useState('')
  const [submitted, setSubmitted] = useState(false)
  const add = useAddSshKey()
  const refusal = add.isError ? asProblem(add.error) : null
  const said = (own: string | null, pointer: string) => {
    const fromServer = refusal?.field(pointer)
    return (submitted ? own : null) ?? (fromServer ? toSentence(fromServer) : null)
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (nameProblem(name) || keyProblem(key)) return focusFirstInvalid(event.currentTarget)
    const body = { name: name.trim(), public_key: parseSshKeys(key).keys[0] ?? '' }
    add.mutate(body, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title="Add SSH Key"
      onClose={onClose}
      onSubmit={submit}
      submit="Add SSH Key"
      busy={add.isPending}
      problem={unplaced(refusal)}
    >
      <TextField
        label="Name"
        autoFocus
        placeholder="laptop"
        value={name}
        onChange={setName}
        problem={said(nameProblem(name), '/name')}
      />
      <TextField
        label="Public key"
        rows={4}
        mono
        placeholder="ssh-ed25519 AAAA… me@laptop"
        help="The content of the file that ends in .pub."
        value={key}
        onChange={setKey}
        problem={said(keyProblem(key), '/public_key')}
      />
    </FormDialog>
  )
}

export interface SshKeyDialogProps {
  sshKey: SshKey
  onClose: () => void
}

export function RenameSshKeyDialog({ sshKey, onClose }: SshKeyDialogProps) {
  const [name, setName] = useState(sshKey.name)
  const [submitted, setSubmitted] = useState(false)
  const rename = useRenameSshKey()
  const refusal = rename.isError ? asProblem(rename.error) : null
  const fromServer = refusal?.field('/name')
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (nameProblem(name)) return focusFirstInvalid(event.currentTarget)
    rename.mutate({ key: sshKey, name: name.trim() }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Rename ${sshKey.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={rename.isPending}
      problem={unplaced(refusal)}
    >
      <TextField
        label="Name"
        autoFocus
        value={name}
        onChange={setName}
        problem={(submitted ? nameProblem(name) : null) ?? (fromServer ? toSentence(fromServer) : null)}
      />
    </FormDialog>
  )
}

export function DeleteSshKeyDialog({ sshKey, onClose }: SshKeyDialogProps) {
  const remove = useDeleteSshKey()
  return (
    <ConfirmDialog
      title={`Delete ${sshKey.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => remove.mutate(sshKey, { onSuccess: onClose })}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>New instances cannot get this key any more. Instances that have it keep it.</p>
    </ConfirmDialog>
  )
}
