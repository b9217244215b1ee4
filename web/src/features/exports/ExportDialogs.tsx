import { type FormEvent, useState } from 'react'
import { useDeleteExport, useExportImage } from '@/api/queries/exports'
import type { Image, ImageExport } from '@/api/types'
import { asProblem, unplaced } from '@/lib/problem'
import { ConfirmDialog, FormDialog } from '@/ui/Dialog'
import { SelectField } from '@/ui/Field'
import { MutedText } from '@/ui/Page'
import { FORMS, formName, formOf } from './labels'

const CHOICES = FORMS.map(({ id, label }) => ({ id, label }))

/** Asks for a file of an image. */
export function ExportDialog({ image, onClose }: { image: Image; onClose: () => void }) {
  const [form, setForm] = useState(FORMS[0].id)
  const ask = useExportImage()
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    ask.mutate({ imageId: image.id, body: formOf(form).body }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Export ${image.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Export"
      busy={ask.isPending}
      problem={unplaced(ask.isError ? asProblem(ask.error) : null)}
    >
      <SelectField
        label="Format"
        choices={CHOICES}
        value={form}
        onChange={setForm}
        help={formOf(form).help}
      />
      <MutedText>
        The file is made once and kept for a while. It does not count as an image. Everything on the disk can
        be read from it.
      </MutedText>
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
