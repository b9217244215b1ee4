import { useQuery } from '@tanstack/react-query'
import { Pencil, Trash2 } from 'lucide-react'
import { useCallback, useMemo, useState } from 'react'
import { adminHypervisorsQuery, adminLocationsQuery } from '@/api/queries/locations'
import type { AdminLocation } from '@/api/types'
import { HypervisorTable } from '@/features/limits/HypervisorTable'
import { DeleteLocationDialog, EditLocationDialog } from '@/features/limits/LocationDialogs'
import { formatBytes } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { Card, MutedText, PageHeader, Stack } from '@/ui/Page'
import { Status } from '@/ui/Status'
import { type Column, Table, TableSkeleton } from '@/ui/Table'
import { useTitle } from './use-title'

export function LocationsPage() {
  useTitle('Locations')
  const locations = useQuery(adminLocationsQuery)
  const [open, setOpen] = useState<{ kind: 'edit' | 'delete'; location: AdminLocation } | null>(null)
  const close = () => setOpen(null)
  const columns = useMemo<Column<AdminLocation>[]>(
    () => [
      { id: 'name', name: 'Name', cell: ({ name }) => <ClampedText text={name} /> },
      {
        id: 'images',
        name: 'Images of instances',
        nowrap: true,
        cell: ({ images_enabled }) => (
          <Status tone={images_enabled ? 'good' : 'idle'}>
            {images_enabled ? 'Enabled' : 'Not enabled'}
          </Status>
        ),
      },
      {
        id: 'sharing',
        name: 'Sharing',
        nowrap: true,
        cell: ({ sharing_enabled }) => (
          <Status tone={sharing_enabled ? 'good' : 'idle'}>{sharing_enabled ? 'Allowed' : 'Off'}</Status>
        ),
      },
      {
        id: 'isos',
        name: 'ISOs',
        nowrap: true,
        cell: ({ iso_enabled }) => (
          <Status tone={iso_enabled ? 'good' : 'idle'}>{iso_enabled ? 'Allowed' : 'Off'}</Status>
        ),
      },
      {
        id: 'export',
        name: 'Export',
        nowrap: true,
        cell: ({ export_enabled }) => (
          <Status tone={export_enabled ? 'good' : 'idle'}>{export_enabled ? 'Allowed' : 'Off'}</Status>
        ),
      },
      {
        id: 'limit',
        name: 'Most images',
        align: 'end',
        cell: ({ default_image_limit }) => default_image_limit ?? <MutedText>no limit</MutedText>,
      },
      {
        id: 'bytes',
        name: 'Most stored',
        align: 'end',
        nowrap: true,
        cell: ({ default_image_bytes_limit }) =>
          default_image_bytes_limit === null ? (
            <MutedText>no limit</MutedText>
          ) : (
            formatBytes(default_image_bytes_limit)
          ),
      },
    ],
    [],
  )
  return (
    <Stack>
      <PageHeader title="Locations">
        What customers may do in each location, and how many images an account without limits of its own may
        have there.
      </PageHeader>
      {locations.isPending && <TableSkeleton label="Loading locations" />}
      {locations.isError && !locations.data && (
        <ProblemNotice
          problem={asProblem(locations.error)}
          actions={<Button onPress={() => void locations.refetch()}>Try again</Button>}
        />
      )}
      {locations.data && (
        <Table
          label="Locations"
          columns={columns}
          items={locations.data}
          actions={(location) => (
            <RowMenu
              label={`Actions for ${location.name}`}
              actions={[
                {
                  id: 'edit',
                  label: 'Edit',
                  icon: <Pencil />,
                  onAction: () => setOpen({ kind: 'edit', location }),
                },
                {
                  id: 'delete',
                  label: 'Delete',
                  icon: <Trash2 />,
                  onAction: () => setOpen({ kind: 'delete', location }),
                  danger: true,
                  separated: true,
                },
              ]}
            />
          )}
        />
      )}
      <Hypervisors locations={locations.data ?? []} />
      {open?.kind === 'edit' && <EditLocationDialog location={open.location} onClose={close} />}
      {open?.kind === 'delete' && <DeleteLocationDialog location={open.location} onClose={close} />}
    </Stack>
  )
}

/** The hypervisors of all locations. */
function Hypervisors({ locations }: { locations: readonly AdminLocation[] }) {
  const hypervisors = useQuery(adminHypervisorsQuery)
  const location = useCallback(
    (id: string) => locations.find((location) => location.id === id)?.name ?? id,
    [locations],
  )
  return (
    <Card title="Hypervisors">
      {hypervisors.isPending && <TableSkeleton label="Loading hypervisors" />}
      {hypervisors.isError && !hypervisors.data && (
        <ProblemNotice
          problem={asProblem(hypervisors.error)}
          actions={<Button onPress={() => void hypervisors.refetch()}>Try again</Button>}
        />
      )}
      {hypervisors.data && (
        <HypervisorTable hypervisors={hypervisors.data} location={locations.length > 1 ? location : null} />
      )}
    </Card>
  )
}
