import { type FormEvent, useState } from 'react'
import { useDeleteImage, useRenameImage } from '@/api/queries/images'
import type { Image } from '@/api/types'
import { nameProblem } from '@/lib/name'
import { asProblem, toSentence } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ConfirmDialog, Dialog, DialogActions } from '@/ui/Dialog'
import { TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'

export interface ImageDialogProps {
  image: Image
  onClose: () => void
}

export function DeleteImageDialog({
  image,
  onClose,
  onDeleted,
}: ImageDialogProps & { onDeleted?: () => void }) {
  const remove = useDeleteImage()
  const confirm = () =>
    remove.mutate(image, {
      onSuccess: () => {
        onClose()
        onDeleted?.()
      },
    })
  return (
    <ConfirmDialog
      title={`Delete ${image.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={confirm}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>Deletion is permanent. The image file is removed and cannot be recovered.</p>
      <p>Instances previously deployed from this image are not affected.</p>
    </ConfirmDialog>
  )
}

export function RenameImageDialog({ image, onClose }: ImageDialogProps) {
  const [name, setName] = useState(image.name)
  const [description, setDescription] = useState(image.description)
  const [submitted, setSubmitted] = useState(false)
  const rename = useRenameImage()
  const nameError = nameProblem(name)
  const problem = rename.isError ? asProblem(rename.error) : null
  const fieldError = problem?.field('/name')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    setSubmitted(true)
    if (nameError) return
    rename.mutate({ image, patch: { name: name.trim(), description } }, { onSuccess: onClose })
  }
  return (
    <Dialog title="Rename image" isOpen onClose={onClose}>
      <form onSubmit={submit}>
        <TextField
          label="Name"
          value={name}
          onChange={setName}
          autoFocus
          problem={(submitted ? nameError : null) ?? (fieldError ? toSentence(fieldError) : null)}
        />
        <TextField label="Description" value={description} onChange={setDescription} rows={2} optional />
        {problem && !fieldError && <ProblemNotice problem={problem} />}
        <DialogActions>
          <Button onPress={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={rename.isPending}>
            Save
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
