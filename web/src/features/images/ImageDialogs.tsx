import { type FormEvent, useState } from 'react'
import { useDeleteImage, useEditImage } from '@/api/queries/images'
import type { Image } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameProblem } from '@/lib/name'
import { type OsType, osChoices } from '@/lib/os-types'
import { toSentence } from '@/lib/problem'
import { splitTags } from '@/lib/search'
import { Button } from '@/ui/Button'
import { ConfirmDialog, Dialog, DialogActions } from '@/ui/Dialog'
import { Checkbox, SelectField, TextField } from '@/ui/Field'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { TagsField, tagsProblem } from './TagsField'
import { useCurrentImage } from './use-current-image'

export interface ImageDialogProps {
  image: Image
  onClose: () => void
}

export function DeleteImageDialog({
  image: opened,
  onClose,
  onDeleted,
}: ImageDialogProps & { onDeleted?: () => void }) {
  const { image, isChanged, isLoading, problemOf, reloadAfter } = useCurrentImage(opened)
  const remove = useDeleteImage()
  const confirm = () =>
    // Not a callback of `mutate`: the page is gone when the event of the deletion is faster.
    remove.mutateAsync(image).then(() => {
      onClose()
      onDeleted?.()
    }, reloadAfter)
  return (
    <ConfirmDialog
      title={`Delete ${image.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={confirm}
      confirm="Delete"
      busy={remove.isPending || isLoading}
      problem={problemOf(remove.error)}
    >
      <p>Deletion is permanent. The image file is removed and cannot be recovered.</p>
      <p>Instances previously deployed from this image are not affected.</p>
      {isChanged && (
        <Notice tone="warn" role="alert" title="The image was changed">
          <p>
            It was changed after this dialog opened, so it was not deleted. Press Delete to delete it anyway.
          </p>
        </Notice>
      )}
    </ConfirmDialog>
  )
}

export function EditImageDialog({ image: opened, onClose }: ImageDialogProps) {
  const { image, isChanged, isLoading, problemOf, reloadAfter } = useCurrentImage(opened)
  const [name, setName] = useState(opened.name)
  const [description, setDescription] = useState(opened.description)
  const [tags, setTags] = useState(opened.tags.join(', '))
  const [osType, setOsType] = useState(opened.os_type)
  const [hasCloudInit, setCloudInit] = useState(opened.cloud_init)
  const [isProtected, setProtected] = useState(opened.protected)
  const [submitted, setSubmitted] = useState(false)
  const edit = useEditImage()
  const nameError = nameProblem(name)
  const problem = problemOf(edit.error)
  const fieldError = problem?.field('/name')
  const tagsError = problem ? tagsProblem(problem) : null
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (nameError) return focusFirstInvalid(event.currentTarget)
    edit.mutate(
      {
        image,
        patch: {
          name: name.trim(),
          description,
          tags: splitTags(tags),
          os_type: osType,
          cloud_init: hasCloudInit,
          protected: isProtected,
        },
      },
      {
        onSuccess: onClose,
        onError: (error) =>
          reloadAfter(error, (current) => {
            // What was typed is kept; fields that were not edited get their new values.
            setName((typed) => (typed === image.name ? current.name : typed))
            setDescription((typed) => (typed === image.description ? current.description : typed))
            setTags((typed) => (typed === image.tags.join(', ') ? current.tags.join(', ') : typed))
            setOsType((typed) => (typed === image.os_type ? current.os_type : typed))
            setCloudInit((typed) => (typed === image.cloud_init ? current.cloud_init : typed))
            setProtected((typed) => (typed === image.protected ? current.protected : typed))
          }),
      },
    )
  }
  return (
    <Dialog title="Edit image" isOpen onClose={onClose}>
      <form onSubmit={submit}>
        <TextField
          label="Name"
          value={name}
          onChange={setName}
          autoFocus
          problem={(submitted ? nameError : null) ?? (fieldError ? toSentence(fieldError) : null)}
        />
        <TextField label="Description" value={description} onChange={setDescription} rows={2} optional />
        <TagsField value={tags} onChange={setTags} problem={tagsError} />
        <SelectField
          label="Operating system"
          choices={osChoices}
          value={osType}
          onChange={(id) => setOsType(id as OsType)}
        />
        <Checkbox
          label="Supports cloud-init"
          help="Its system sets SSH keys and runs user scripts at the first boot"
          isSelected={hasCloudInit}
          onChange={setCloudInit}
        />
        <Checkbox
          label="Protect from deletion"
          help="The image cannot be deleted until this is switched off"
          isSelected={isProtected}
          onChange={setProtected}
        />
        {isChanged && (
          <Notice tone="warn" role="alert" title="The image was changed">
            <p>
              It was changed after this dialog opened, so your changes were not saved. Its name is now{' '}
              <strong>{image.name}</strong>. Press Save to replace the new values with yours.
            </p>
          </Notice>
        )}
        {problem && !fieldError && !tagsError && <ProblemNotice problem={problem} />}
        <DialogActions>
          <Button onPress={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={edit.isPending || isLoading}>
            Save
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}
