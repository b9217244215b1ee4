import { type FormEvent, useState } from 'react'
import { useAccounts } from '@/api/queries/accounts'
import { useLocations } from '@/api/queries/catalogue'
import { useAdoptObject } from '@/api/queries/storage-objects'
import type { ImageAndTask, ImageStorage, StorageObject } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { formatBytes } from '@/lib/format'
import { formatChoices, formatOfKey, nameOfKey } from '@/lib/image-file'
import { nameProblem } from '@/lib/name'
import { asProblem, type Problem, toSentence, unplaced } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ConfirmDialog, Dialog, DialogActions, FormDialog } from '@/ui/Dialog'
import { SelectField, TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { MutedText } from '@/ui/Page'

export interface AdoptDialogProps {
  storage: ImageStorage
  object: StorageObject
  onClose: () => void
  onAdopted: (adopted: ImageAndTask) => void
}

/** Makes an image of an object that nothing refers to. */
export function AdoptDialog({ storage, object, onClose, onAdopted }: AdoptDialogProps) {
  const [name, setName] = useState(nameOfKey(object.key))
  const [format, setFormat] = useState(formatOfKey(object.key) ?? '')
  const [chosenLocation, setLocation] = useState('')
  const [accountId, setAccount] = useState('')
  const [submitted, setSubmitted] = useState(false)
  const { data: locations = [] } = useLocations()
  const accounts = useAccounts()
  const adopt = useAdoptObject(storage.id)
  const isForCustomer = storage.role === 'customer'
  const locationId = chosenLocation || (locations[0]?.id ?? '')
  const refusal = adopt.isError ? asProblem(adopt.error) : null
  const errors = {
    name: nameProblem(name),
    format: format === '' ? 'Choose the format of the file.' : null,
    location_id: locationId === '' ? 'Choose a location.' : null,
    account_id: isForCustomer && accountId === '' ? 'Choose who gets the image.' : null,
  }
  const messageFor = (field: keyof typeof errors) => {
    const fromServer = refusal?.field(`/${field}`)
    return (submitted ? errors[field] : null) ?? (fromServer ? toSentence(fromServer) : null)
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (Object.values(errors).some(Boolean)) return focusFirstInvalid(event.currentTarget)
    adopt.mutate(
      {
        key: object.key,
        name: name.trim(),
        description: '',
        format,
        location_id: locationId,
        ...(isForCustomer ? { account_id: accountId } : {}),
      },
      {
        onSuccess: (adopted) => {
          onClose()
          onAdopted(adopted)
        },
      },
    )
  }
  return (
    <FormDialog
      title="Adopt as an image"
      onClose={onClose}
      onSubmit={submit}
      submit="Adopt"
      busy={adopt.isPending}
      problem={unplaced(refusal)}
    >
      <p>
        An image is made of <code>{object.key}</code> ({formatBytes(object.size_bytes)}). The file stays where
        it is; a task reads its size and digest.
      </p>
      <TextField label="Name" value={name} onChange={setName} autoFocus problem={messageFor('name')} />
      <SelectField
        label="Format"
        choices={formatChoices}
        value={format}
        onChange={setFormat}
        help={formatOfKey(object.key) ? 'As the key says.' : 'The key does not say it.'}
        problem={messageFor('format')}
      />
      <SelectField
        label="Location"
        choices={locations.map(({ id, name: label }) => ({ id, label }))}
        value={locationId}
        onChange={setLocation}
        help="Where instances can be created from it."
        problem={messageFor('location_id')}
      />
      {isForCustomer ? (
        <SelectField
          label="Account"
          choices={(accounts.data ?? []).map(({ id, name: label }) => ({ id, label }))}
          value={accountId}
          onChange={setAccount}
          help="Who gets the image, and pays for it."
          problem={messageFor('account_id')}
        />
      ) : (
        <MutedText>All customers can use it, as every stock image.</MutedText>
      )}
      {accounts.isError && <ProblemNotice problem={asProblem(accounts.error)} />}
    </FormDialog>
  )
}

export interface DeleteObjectDialogProps {
  storage: ImageStorage
  object: StorageObject
  busy: boolean
  problem: Problem | null
  onClose: () => void
  onConfirm: () => void
}

export function DeleteObjectDialog({
  storage,
  object,
  busy,
  problem,
  onClose,
  onConfirm,
}: DeleteObjectDialogProps) {
  return (
    <ConfirmDialog
      title={`Delete this object of ${storage.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={onConfirm}
      confirm="Delete"
      busy={busy}
      problem={problem}
    >
      <p>
        <code>{object.key}</code> ({formatBytes(object.size_bytes)}) is removed by a task and cannot be
        restored.
      </p>
      <p>It is compared again first: an object that is in use by now is left alone.</p>
    </ConfirmDialog>
  )
}

export interface DeepScanDialogProps {
  storage: ImageStorage
  busy: boolean
  problem: Problem | null
  onClose: () => void
  onConfirm: () => void
}

/** Says what a deep scan costs before it starts. */
export function DeepScanDialog({ storage, busy, problem, onClose, onConfirm }: DeepScanDialogProps) {
  const bytes = storage.images.reduce((sum, images) => sum + images.bytes, 0)
  return (
    <Dialog title={`Deep scan of ${storage.name}`} isOpen onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          onConfirm()
        }}
      >
        <p>
          It lists everything, as every scan does, and reads the files of all images
          {bytes > 0 && ` (${formatBytes(bytes)})`} to compare their digests. That finds files with other
          content, and takes as long as reading all of them.
        </p>
        <p>Images stay usable meanwhile. The scan can be cancelled.</p>
        {problem && <ProblemNotice problem={problem} />}
        <DialogActions>
          <Button onPress={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={busy}>
            Start deep scan
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
