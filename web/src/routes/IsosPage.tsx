import { useQuery } from '@tanstack/react-query'
import { Disc, Pencil, Plus, Trash2 } from 'lucide-react'
import { useMemo, useState } from 'react'
import { useLocationName } from '@/api/queries/catalogue'
import { adminIsosQuery } from '@/api/queries/isos'
import type { AdminIso } from '@/api/types'
import { DeleteIsoDialog, EditIsoDialog, RegisterIsoDialog } from '@/features/isos/IsoDialogs'
import { osLabel, statusOf } from '@/features/isos/labels'
import { formatBytes, NONE } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, PageHeader, Stack } from '@/ui/Page'
import { Status } from '@/ui/Status'
import { type Column, Table, TableSkeleton } from '@/ui/Table'
import { useTitle } from './use-title'

/** The ISOs of the provider. */
export function IsosPage() {
  useTitle('ISOs')
  const isos = useQuery(adminIsosQuery)
  const locationName = useLocationName()
  const [isAdding, setAdding] = useState(false)
  const [open, setOpen] = useState<{ kind: 'edit' | 'delete'; iso: AdminIso } | null>(null)
  const close = () => setOpen(null)
  const columns = useMemo<Column<AdminIso>[]>(
    () => [
      { id: 'name', name: 'Name', cell: ({ name }) => <ClampedText text={name} /> },
      {
        id: 'status',
        name: 'Status',
        nowrap: true,
        cell: (iso) => {
          const { name, tone } = statusOf(iso)
          return <Status tone={tone}>{name}</Status>
        },
      },
      { id: 'customers', name: 'Customers', cell: ({ hidden }) => (hidden ? 'Hidden' : 'Visible') },
      { id: 'system', name: 'System', cell: ({ os_type }) => osLabel(os_type) ?? NONE },
      { id: 'location', name: 'Location', cell: ({ location_id }) => locationName(location_id) },
      {
        id: 'size',
        name: 'Size',
        align: 'end',
        nowrap: true,
        cell: ({ size_bytes }) => (size_bytes === null ? NONE : formatBytes(size_bytes)),
      },
      { id: 'file', name: 'File', cell: ({ key }) => <ClampedText text={key} /> },
    ],
    [locationName],
  )
  const add = (
    <Button variant="primary" icon={<Plus />} onPress={() => setAdding(true)}>
      Add ISO
    </Button>
  )
  const isEmpty = isos.data?.length === 0
  return (
    <Stack>
      <PageHeader title="ISOs" actions={isEmpty ? undefined : add}>
        Images of CDs that customers mount on their instances, to boot from them or to install software.
      </PageHeader>
      {isos.isPending && <TableSkeleton label="Loading ISOs" />}
      {isos.isError && !isos.data && (
        <ProblemNotice
          problem={asProblem(isos.error)}
          actions={<Button onPress={() => void isos.refetch()}>Try again</Button>}
        />
      )}
      {isEmpty && (
        <EmptyState icon={<Disc />} title="No ISOs" actions={add}>
          Put a file on an image storage with the role ISOs, and add it here.
        </EmptyState>
      )}
      {isos.data && isos.data.length > 0 && (
        <Table
          label="ISOs"
          columns={columns}
          items={isos.data}
          actions={(iso) => (
            <RowMenu
              label={`Actions for ${iso.name}`}
              actions={[
                {
                  id: 'edit',
                  label: 'Edit',
                  icon: <Pencil />,
                  onAction: () => setOpen({ kind: 'edit', iso }),
                },
                {
                  id: 'delete',
                  label: 'Delete',
                  icon: <Trash2 />,
                  onAction: () => setOpen({ kind: 'delete', iso }),
                  danger: true,
                  separated: true,
                },
              ]}
            />
          )}
        />
      )}
      {isAdding && <RegisterIsoDialog onClose={() => setAdding(false)} />}
      {open?.kind === 'edit' && <EditIsoDialog iso={open.iso} onClose={close} />}
      {open?.kind === 'delete' && <DeleteIsoDialog iso={open.iso} onClose={close} />}
    </Stack>
  )
}
