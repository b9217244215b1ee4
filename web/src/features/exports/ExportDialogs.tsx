import { type FormEvent, useState } from 'react'
import { useDeleteExport, useExportImage } from '@/api/queries/exports'
import type { Image, ImageExport } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { NO_OWNED_STORAGE, ownedStorageOf } from '@/lib/owned-storage'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { ConfirmDialog, FormDialog } from '@/ui/Dialog'
import { SelectField } from '@/ui/Field'
import { isComplete, OwnedStorageFields } from '@/ui/OwnedStorageFields'
import { MutedText } from '@/ui/Page'
import { FORMS, formName, formOf } from './labels'

const CHOICES = FORMS.map(({ id, label }) => ({ id, label }))

const PLACES = [
  { id: 'download', label: 'Download', detail: 'Kept here for a while' },
  { id: 'owned-s3', label: 'A bucket of mine', detail: 'S3' },
  { id: 'owned-swift', label: 'A container of mine', detail: 'OpenStack Swift' },
] as const

type Place = (typeof PLACES)[number]['id']

/** Asks for a file of an image, and where it goes. */
export function ExportDialog({ image, onClose }: { image: Image; onClose: () => void }) {
  const [form, setForm] = useState(FORMS[0].id)
  const [place, setPlace] = useState<Place>('download')
  const [owned, setOwned] = useState(NO_OWNED_STORAGE)
  const [submitted, setSubmitted] = useState(false)
  const ask = useExportImage()
  const refusal = ask.isError ? asProblem(ask.error) : null
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    const { body } = formOf(form)
    if (place === 'download') return ask.mutate({ imageId: image.id, body }, { onSuccess: onClose })
    if (!isComplete(place, owned, false)) return focusFirstInvalid(event.currentTarget)
    const destination = ownedStorageOf(place, owned)
    ask.mutate({ imageId: image.id, body: { ...body, destination } }, { onSuccess: onClose })
  }
  const said = (member: string) => {
    const detail = refusal?.within(`/destination/${member}`)
    return detail ? toSentence(detail) : null
  }
  return (
    <FormDialog
      title={`Export ${image.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Export"
      busy={ask.isPending}
      problem={unplaced(refusal)}
    >
      <SelectField
        label="Format"
        choices={CHOICES}
        value={form}
        onChange={setForm}
        help={formOf(form).help}
      />
      <SelectField
        label="Where it goes"
        choices={PLACES}
        value={place}
        onChange={(id) => setPlace(PLACES.find((known) => known.id === id)?.id ?? 'download')}
      />
      {place === 'download' ? (
        <MutedText>
          The file is made once and kept for a while. It does not count as an image. Everything on the disk
          can be read from it.
        </MutedText>
      ) : (
        <>
          <OwnedStorageFields
            kind={place}
            values={owned}
            onChange={setOwned}
            keyHelp="The name that the file gets there; without it, that of the image."
            submitted={submitted}
            said={said}
          />
          <MutedText>
            Your provider’s machines write the file there. What you type is kept sealed until they have, and
            removed then.
          </MutedText>
        </>
      )}
    </FormDialog>
  )
}

export function DeleteExportDialog({ made, onClose }: { made: ImageExport; onClose: () => void }) {
  const remove = useDeleteExport()
  return (
    <ConfirmDialog
      title={`Delete the export ${formName(made)}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => remove.mutate(made, { onSuccess: onClose })}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>
        {made.destination_kind
          ? 'The file in your own storage stays.'
          : 'Its file is removed. The image stays, and can be exported again.'}
      </p>
    </ConfirmDialog>
  )
}
