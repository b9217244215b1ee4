import { type FormEvent, useState } from 'react'
import { useAddStockImage } from '@/api/queries/stock-images'
import type { ImageAndTask, ImageStorage, Location, MediaGroup } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameOfKey } from '@/lib/image-file'
import { nameProblem } from '@/lib/name'
import { asProblem, toSentence } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { SelectField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { ButtonRow, Card, Stack } from '@/ui/Page'
import { EntryFields } from './EntryFields'
import { EMPTY_ENTRY, type Entry, editionProblem, patchOf } from './entry'
import { type Source, SourceFileFields } from './SourceFileFields'

export interface AddStockImageFormProps {
  storages: readonly ImageStorage[]
  locations: readonly Location[]
  groups: readonly MediaGroup[]
  onAdded: (added: ImageAndTask) => void
  onCancel: () => void
}

/** Adds a file of a storage as a stock image. */
export function AddStockImageForm({
  storages,
  locations,
  groups,
  onAdded,
  onCancel,
}: AddStockImageFormProps) {
  const [entry, setEntry] = useState(EMPTY_ENTRY)
  const [source, setSource] = useState<Source>({ storageId: storages[0]?.id ?? '', key: '', format: '' })
  const [locationId, setLocation] = useState(locations[0]?.id ?? '')
  const [submitted, setSubmitted] = useState(false)
  const add = useAddStockImage()
  const refusal = add.isError ? asProblem(add.error) : null
  const errors: Partial<Record<keyof Entry | keyof Source | 'location', string | null>> = {
    name: nameProblem(entry.name),
    ...editionProblem(entry),
    storageId: source.storageId === '' ? 'Choose a storage.' : null,
    key: source.key.trim() === '' ? 'Choose a file, or enter its path.' : null,
    format: source.format === '' ? 'Choose the format of the file.' : null,
    location: locationId === '' ? 'Choose a location.' : null,
  }
  const problemOf = (field: keyof typeof errors, pointer: string) => {
    const fromServer = refusal?.field(pointer)
    return (submitted ? errors[field] : null) ?? (fromServer ? toSentence(fromServer) : null)
  }
  const change = (patch: Partial<Source>) => {
    setSource((old) => ({ ...old, ...patch }))
    // The file proposes a name as long as none is typed.
    if (patch.key !== undefined) {
      const [before, now] = [nameOfKey(source.key), nameOfKey(patch.key)]
      setEntry((old) => (old.name === '' || old.name === before ? { ...old, name: now } : old))
    }
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (Object.values(errors).some(Boolean)) return focusFirstInvalid(event.currentTarget)
    const { media_group_id, family, family_version } = patchOf(entry)
    add.mutate(
      {
        name: entry.name.trim(),
        description: entry.description.trim(),
        storage_id: source.storageId,
        key: source.key.trim(),
        format: source.format,
        location_id: locationId,
        os_type: entry.osType,
        cloud_init: entry.cloudInit,
        hidden: entry.hidden,
        ...(media_group_id ? { media_group_id } : {}),
        ...(family && family_version ? { family, family_version } : {}),
      },
      { onSuccess: onAdded },
    )
  }
  return (
    <form onSubmit={submit}>
      <Stack>
        <Card title="File">
          <SourceFileFields storages={storages} values={source} onChange={change} problemOf={problemOf} />
        </Card>
        <Card title="Image">
          <EntryFields
            values={entry}
            onChange={(patch) => setEntry((old) => ({ ...old, ...patch }))}
            groups={groups}
            problemOf={problemOf}
          />
          <SelectField
            label="Location"
            choices={locations.map(({ id, name }) => ({ id, label: name }))}
            value={locationId}
            onChange={setLocation}
            help="Where instances can be created from it."
            problem={problemOf('location', '/location_id')}
          />
        </Card>
        {refusal && <ProblemNotice problem={refusal} />}
        <ButtonRow>
          <Button type="submit" variant="primary" busy={add.isPending}>
            Add Stock Image
          </Button>
          <Button variant="quiet" onPress={onCancel}>
            Cancel
          </Button>
        </ButtonRow>
      </Stack>
    </form>
  )
}
