import { Pencil } from 'lucide-react'
import { useMemo, useState } from 'react'
import type { AdminHypervisor } from '@/api/types'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { Status } from '@/ui/Status'
import { type Column, Table } from '@/ui/Table'
import { EditHypervisorDialog } from './HypervisorDialog'

export interface HypervisorTableProps {
  hypervisors: readonly AdminHypervisor[]
  /** Returns the name of a location; without it, locations are not shown. */
  location: ((id: string) => string) | null
}

/** The hypervisors with how much they do at once. */
export function HypervisorTable({ hypervisors, location }: HypervisorTableProps) {
  const [edited, setEdited] = useState<AdminHypervisor | null>(null)
  const columns = useMemo<Column<AdminHypervisor>[]>(
    () => [
      { id: 'name', name: 'Name', cell: ({ name }) => <ClampedText text={name} /> },
      {
        id: 'state',
        name: 'Agent',
        nowrap: true,
        cell: ({ online }) => (
          <Status tone={online ? 'good' : 'bad'}>{online ? 'Connected' : 'Not connected'}</Status>
        ),
      },
      ...(location
        ? [
            {
              id: 'location',
              name: 'Location',
              cell: ({ location_id }: AdminHypervisor) => <ClampedText text={location(location_id)} />,
            },
          ]
        : []),
      { id: 'tasks', name: 'Tasks at once', align: 'end', cell: ({ max_work }) => max_work },
      { id: 'captures', name: 'Captures at once', align: 'end', cell: ({ max_captures }) => max_captures },
    ],
    [location],
  )
  return (
    <>
      <Table
        label="Hypervisors"
        columns={columns}
        items={hypervisors}
        actions={(hypervisor) => (
          <RowMenu
            label={`Actions for ${hypervisor.name}`}
            actions={[{ id: 'edit', label: 'Edit', icon: <Pencil />, onAction: () => setEdited(hypervisor) }]}
          />
        )}
      />
      {edited && <EditHypervisorDialog hypervisor={edited} onClose={() => setEdited(null)} />}
    </>
  )
}
