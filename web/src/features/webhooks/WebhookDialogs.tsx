import { type FormEvent, useState } from 'react'
import { useAddWebhook, useDeleteWebhook, useEditWebhook, useRotateSecret } from '@/api/queries/webhooks'
import type { Webhook, WebhookAndSecret } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameProblem } from '@/lib/name'
import { asProblem, type Problem, toSentence, unplaced } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { CopyableText } from '@/ui/CopyableText'
import { ConfirmDialog, Dialog, DialogActions, DialogBody, FormDialog } from '@/ui/Dialog'
import { TextField } from '@/ui/Field'
import { addressProblem, eventsProblem, parseEvents } from './webhooks'

interface Fields {
  name: string
  url: string
  events: string
}

interface WebhookFormProps {
  title: string
  submit: string
  first: Fields
  busy: boolean
  refusal: Problem | null
  onSubmit: (fields: { name: string; url: string; events: string[] }) => void
  onClose: () => void
}

function WebhookForm({ title, submit, first, busy, refusal, onSubmit, onClose }: WebhookFormProps) {
  const [values, setValues] = useState(first)
  const [submitted, setSubmitted] = useState(false)
  const errors = {
    name: nameProblem(values.name),
    url: addressProblem(values.url),
    events: eventsProblem(values.events),
  }
  const messageFor = (field: keyof typeof errors) => {
    const fromServer = refusal?.field(`/${field}`)
    return (submitted ? errors[field] : null) ?? (fromServer ? toSentence(fromServer) : null)
  }
  const set = (patch: Partial<Fields>) => setValues((old) => ({ ...old, ...patch }))
  const send = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (Object.values(errors).some(Boolean)) return focusFirstInvalid(event.currentTarget)
    onSubmit({ name: values.name.trim(), url: values.url.trim(), events: parseEvents(values.events) })
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
        placeholder="billing"
        value={values.name}
        onChange={(name) => set({ name })}
        problem={messageFor('name')}
      />
      <TextField
        label="Address"
        placeholder="https://hooks.example.com/imprint"
        help="Messages are sent there as POST requests, signed by the secret of the webhook."
        value={values.url}
        onChange={(url) => set({ url })}
        problem={messageFor('url')}
      />
      <TextField
        label="Events"
        optional
        mono
        placeholder="image.*, export.changed"
        help="With commas in between. Empty, all events of the account are sent."
        value={values.events}
        onChange={(events) => set({ events })}
        problem={messageFor('events')}
      />
    </FormDialog>
  )
}

export interface AddWebhookDialogProps {
  onAdded: (made: WebhookAndSecret) => void
  onClose: () => void
}

export function AddWebhookDialog({ onAdded, onClose }: AddWebhookDialogProps) {
  const add = useAddWebhook()
  return (
    <WebhookForm
      title="Add Webhook"
      submit="Add Webhook"
      first={{ name: '', url: '', events: '' }}
      busy={add.isPending}
      refusal={add.isError ? asProblem(add.error) : null}
      onSubmit={(fields) => add.mutate(fields, { onSuccess: onAdded })}
      onClose={onClose}
    />
  )
}

export interface WebhookDialogProps {
  webhook: Webhook
  onClose: () => void
}

export function EditWebhookDialog({ webhook, onClose }: WebhookDialogProps) {
  // The version that was read first is the one that is changed, whatever is loaded meanwhile.
  const [first] = useState(webhook)
  const edit = useEditWebhook()
  return (
    <WebhookForm
      title={`Edit ${first.name}`}
      submit="Save"
      first={{ name: first.name, url: first.url, events: first.events.join(', ') }}
      busy={edit.isPending}
      refusal={edit.isError ? asProblem(edit.error) : null}
      onSubmit={(body) => edit.mutate({ webhook: first, body }, { onSuccess: onClose })}
      onClose={onClose}
    />
  )
}

/** Shows a new secret, once. */
export function SecretDialog({ made, onClose }: { made: WebhookAndSecret; onClose: () => void }) {
  return (
    <Dialog title={`Secret of ${made.webhook.name}`} isOpen onClose={onClose}>
      <DialogBody>
        <p>Keep it where messages are received: it shows that they come from here. It is not shown again.</p>
        <p>
          <CopyableText label="the secret" value={made.secret} />
        </p>
      </DialogBody>
      <DialogActions>
        <Button variant="primary" onPress={onClose}>
          Done
        </Button>
      </DialogActions>
    </Dialog>
  )
}

export function RotateSecretDialog({
  webhook,
  onRotated,
  onClose,
}: WebhookDialogProps & { onRotated: (made: WebhookAndSecret) => void }) {
  const rotate = useRotateSecret()
  return (
    <ConfirmDialog
      title={`New secret for ${webhook.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => rotate.mutate(webhook, { onSuccess: onRotated })}
      confirm="New Secret"
      busy={rotate.isPending}
      problem={rotate.isError ? asProblem(rotate.error) : null}
    >
      <p>Messages are signed with the new one at once. Who receives them has to know it by then.</p>
    </ConfirmDialog>
  )
}

export function DeleteWebhookDialog({ webhook, onClose }: WebhookDialogProps) {
  const remove = useDeleteWebhook()
  return (
    <ConfirmDialog
      title={`Delete ${webhook.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => remove.mutate(webhook, { onSuccess: onClose })}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>Nothing is sent to {webhook.url} any more.</p>
    </ConfirmDialog>
  )
}
