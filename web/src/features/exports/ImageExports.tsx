import { useQuery } from '@tanstack/react-query'
import { Download, FileOutput, Trash2 } from 'lucide-react'
import { useMemo, useState } from 'react'
import { usePollInterval } from '@/api/live'
import { useLocations } from '@/api/queries/catalogue'
import { contentUrl, exportsOfImageQuery } from '@/api/queries/exports'
import { taskQuery } from '@/api/queries/tasks'
import type { Image, ImageExport } from '@/api/types'
import { formatBytes, NONE, percentOf } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { type MenuAction, RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { Card, MutedText, Skeleton } from '@/ui/Page'
import { Progress } from '@/ui/Progress'
import { Status } from '@/ui/Status'
import { type Column, Table } from '@/ui/Table'
import { DeleteExportDialog, ExportDialog } from './ExportDialogs'
import { formName, statusOf } from './labels'

/** Returns why an image cannot be exported now, or `null`. */
function exportReason(image: Image, isEnabled: boolean): string | null {
  // A stock image is the provider's own.
  if (!isEnabled && image.kind !== 'stock') return 'The provider has not enabled export in this location.'
  return image.status === 'available' ? null : 'Only an available image can be exported.'
}

type Open = { kind: 'export' } | { kind: 'delete'; made: ImageExport } | null

/** The files of an image in other formats. */
export function ImageExports({ image }: { image: Image }) {
  const [open, setOpen] = useState<Open>(null)
  const refetchInterval = usePollInterval()
  const exports = useQuery({ ...exportsOfImageQuery(image.id), refetchInterval })
  const { data: locations = [] } = useLocations()
  const isEnabled = locations.find(({ id }) => id === image.location_id)?.export_enabled ?? false
  const items = exports.data ?? []
  const columns = useMemo<Column<ImageExport>[]>(
    () => [
      { id: 'format', name: 'Format', nowrap: true, cell: formName },
      { id: 'status', name: 'Status', cell: (made) => <ExportStatus made={made} /> },
      {
        id: 'size',
        name: 'Size',
        align: 'end',
        nowrap: true,
        cell: ({ size_bytes }) => (size_bytes === null ? NONE : formatBytes(size_bytes)),
      },
      {
        id: 'expires',
        name: 'Kept until',
        nowrap: true,
        cell: ({ expires_at }) => formatInstant(expires_at),
      },
    ],
    [],
  )
  return (
    <Card
      title="Exports"
      actions={
        <Button
          icon={<FileOutput />}
          reason={exportReason(image, isEnabled)}
          onPress={() => setOpen({ kind: 'export' })}
        >
          Export
        </Button>
      }
    >
      {exports.isPending && <Skeleton label="Loading exports" />}
      {exports.isError && !exports.data && (
        <ProblemNotice
          problem={asProblem(exports.error)}
          actions={<Button onPress={() => void exports.refetch()}>Try again</Button>}
        />
      )}
      {exports.data && items.length === 0 && (
        <MutedText>
          There are no exports. An export is a file with the disk of the image, for other systems.
        </MutedText>
      )}
      {items.length > 0 && (
        <Table
          label="Exports"
          columns={columns}
          items={items}
          actions={(made) => (
            <RowMenu
              label={`Actions for the export ${formName(made)}`}
              actions={actionsOf(made, () => setOpen({ kind: 'delete', made }))}
            />
          )}
        />
      )}
      {open?.kind === 'export' && <ExportDialog image={image} onClose={() => setOpen(null)} />}
      {open?.kind === 'delete' && <DeleteExportDialog made={open.made} onClose={() => setOpen(null)} />}
    </Card>
  )
}

function actionsOf(made: ImageExport, remove: () => void): MenuAction[] {
  const isReady = made.status === 'available'
  const why = made.destination_kind
    ? 'The file is in your own storage.'
    : isReady
      ? undefined
      : 'The file is not complete.'
  return [
    {
      id: 'download',
      label: 'Download',
      icon: <Download />,
      onAction: () => window.location.assign(contentUrl(made)),
      ...(why ? { reason: why } : {}),
    },
    {
      id: 'delete',
      label: 'Delete',
      icon: <Trash2 />,
      onAction: remove,
      danger: true,
      ...(isReady || made.status === 'error' ? {} : { reason: 'Cancel its task below instead.' }),
    },
  ]
}

function ExportStatus({ made }: { made: ImageExport }) {
  const { name, tone } = statusOf(made)
  const isMade = made.status === 'creating'
  const task = useQuery({ ...taskQuery(made.task_id), enabled: isMade })
  return (
    <>
      <Status tone={tone}>{made.destination_kind ? `${name}, ${made.destination_kind}` : name}</Status>
      {isMade && (
        <Progress
          label={`Progress of ${formName(made)}`}
          percent={percentOf(task.data?.bytes_done ?? 0, task.data?.bytes_total)}
        />
      )}
    </>
  )
}
