import { type FormEvent, useState } from 'react'
import { useEditStockImage } from '@/api/queries/stock-images'
import type { Image, MediaGroup } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameProblem } from '@/lib/name'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { FormDialog } from '@/ui/Dialog'
import { SelectField, TextField } from '@/ui/Field'
import { EntryFields } from './EntryFields'
import { type Entry, editionProblem, entryOf, NONE, patchOf } from './entry'

export interface StockImageDialogProps {
  image: Image
  onClose: () => void
}

/** Changes a stock image and how it is offered. */
export function EditStockImageDialog({
  image: opened,
  groups,
  onClose,
}: StockImageDialogProps & { groups: readonly MediaGroup[] }) {
  // The version that was read first is the one that is changed, whatever is loaded meanwhile.
  const [image] = useState(opened)
  const [values, setValues] = useState(entryOf(image))
  const [submitted, setSubmitted] = useState(false)
  const edit = useEditStockImage()
  const refusal = edit.isError ? asProblem(edit.error) : null
  const errors: Partial<Record<keyof Entry, string | null>> = {
    name: nameProblem(values.name),
    ...editionProblem(values),
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (Object.values(errors).some(Boolean)) return focusFirstInvalid(event.currentTarget)
    edit.mutate({ image, patch: patchOf(values) }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Edit ${image.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={edit.isPending}
      problem={unplaced(refusal)}
    >
      <EntryFields
        values={values}
        onChange={(patch) => setValues((old) => ({ ...old, ...patch }))}
        groups={groups}
        problemOf={(field, pointer) => {
          const fromServer = refusal?.field(pointer)
          return (submitted ? errors[field] : null) ?? (fromServer ? toSentence(fromServer) : null)
        }}
      />
    </FormDialog>
  )
}

/** The longest notice, in characters. */
const MAX_NOTICE = 512

/** Says that an image should not be used any more; an empty notice takes that back. */
export function DeprecateDialog({
  image: opened,
  others,
  onClose,
}: StockImageDialogProps & { others: readonly Image[] }) {
  const [image] = useState(opened)
  const before = image.catalogue?.deprecation
  const [notice, setNotice] = useState(before?.notice ?? '')
  const [replacement, setReplacement] = useState(before?.replacement_id ?? NONE)
  const [submitted, setSubmitted] = useState(false)
  const edit = useEditStockImage()
  const refusal = edit.isError ? asProblem(edit.error) : null
  const problem =
    notice.trim() === ''
      ? 'Enter what customers have to know.'
      : [...notice.trim()].length > MAX_NOTICE
        ? `A notice has at most ${MAX_NOTICE} characters.`
        : null
  const said = (own: string | null, pointer: string) => {
    const fromServer = refusal?.field(pointer)
    return (submitted ? own : null) ?? (fromServer ? toSentence(fromServer) : null)
  }
  const candidates = others.filter(
    ({ id, location_id }) => id !== image.id && location_id === image.location_id,
  )
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (problem) return focusFirstInvalid(event.currentTarget)
    const deprecation = {
      notice: notice.trim(),
      replacement_id: replacement === NONE ? null : replacement,
    }
    edit.mutate({ image, patch: { deprecation } }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Deprecate ${image.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={edit.isPending}
      problem={unplaced(refusal)}
    >
      <p>Customers read the notice, and can still create instances from the image.</p>
      <TextField
        label="Notice"
        rows={3}
        autoFocus
        placeholder="It gets no security updates any more. Use Debian 13 instead."
        value={notice}
        onChange={setNotice}
        problem={said(problem, '/deprecation/notice')}
      />
      <SelectField
        label="Replacement"
        choices={[
          { id: NONE, label: 'None' },
          ...candidates.map(({ id, name, catalogue }) => ({
            id,
            label: catalogue?.family_version ? `${name}, ${catalogue.family_version}` : name,
          })),
        ]}
        value={replacement}
        onChange={setReplacement}
        help="The image that customers should use instead."
        problem={said(null, '/deprecation/replacement_id')}
      />
    </FormDialog>
  )
}
