import { useQuery } from '@tanstack/react-query'
import { ScanSearch } from 'lucide-react'
import { objectsQuery, scansQuery, useScanStorage } from '@/api/queries/storage-objects'
import type { ImageStorage } from '@/api/types'
import { formatBytes } from '@/lib/format'
import { formatChoices, formatOfKey } from '@/lib/image-file'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { SelectField, TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { ButtonRow, MutedText } from '@/ui/Page'

export interface Source {
  storageId: string
  key: string
  format: string
}

export interface SourceFileFieldsProps {
  storages: readonly ImageStorage[]
  values: Source
  onChange: (patch: Partial<Source>) => void
  problemOf: (field: keyof Source, pointer: string) => string | null
}

/** Picks a file of a storage for stock images: from what the last scan found, or by its path. */
export function SourceFileFields({ storages, values, onChange, problemOf }: SourceFileFieldsProps) {
  const pick = (key: string) => onChange({ key, format: formatOfKey(key) ?? values.format })
  return (
    <>
      <SelectField
        label="Storage"
        choices={storages.map(({ id, name }) => ({ id, label: name }))}
        value={values.storageId}
        onChange={(storageId) => onChange({ storageId, key: '' })}
        help="A storage for stock images."
        problem={problemOf('storageId', '/storage_id')}
      />
      {values.storageId && (
        <FoundFiles key={values.storageId} storageId={values.storageId} picked={values.key} onPick={pick} />
      )}
      <TextField
        label="File"
        mono
        placeholder="debian-12.qcow2"
        help="The path below the storage’s folder."
        value={values.key}
        onChange={pick}
        problem={problemOf('key', '/key')}
      />
      <SelectField
        label="Format"
        choices={formatChoices}
        value={values.format}
        onChange={(format) => onChange({ format })}
        problem={problemOf('format', '/format')}
      />
    </>
  )
}

interface FoundFilesProps {
  storageId: string
  /** The key of the picked file. */
  picked: string
  onPick: (key: string) => void
}

/** Picks one of the files that the last scan found and no image uses. */
function FoundFiles({ storageId, picked, onPick }: FoundFilesProps) {
  const scans = useQuery(scansQuery(storageId))
  const start = useScanStorage(storageId)
  const complete = scans.data?.find(({ state }) => state === 'complete')
  const isScanning = scans.data?.some(({ state }) => state === 'active') ?? false
  const objects = useQuery({
    ...objectsQuery(storageId, { scan_id: complete?.id ?? '' }),
    enabled: complete !== undefined,
  })
  const files = objects.data?.items.filter(({ image, size_bytes }) => !image && size_bytes !== null)
  const problem = start.error ?? objects.error ?? scans.error
  return (
    <>
      {problem && <ProblemNotice problem={asProblem(problem)} />}
      {files && files.length > 0 && (
        <SelectField
          label="Found file"
          choices={files.map(({ key, size_bytes }) => ({
            id: key,
            label: key,
            detail: formatBytes(size_bytes),
          }))}
          value={picked}
          onChange={onPick}
          help="The files that no image uses."
        />
      )}
      {scans.data && !complete && (
        <MutedText>The storage was not scanned yet. A scan lists its files.</MutedText>
      )}
      {files?.length === 0 && (
        <MutedText>
          The last scan found no file that could become an image. Scan again after adding one.
        </MutedText>
      )}
      {objects.data?.next_page_token && (
        <MutedText>These are the first files. Enter the path of another one below.</MutedText>
      )}
      <ButtonRow>
        <Button
          icon={<ScanSearch />}
          busy={start.isPending || isScanning}
          onPress={() => start.mutate({ deep: false })}
        >
          Scan now
        </Button>
      </ButtonRow>
    </>
  )
}
