import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { Instance } from '@/api/types'
import { formatBytes, plural } from '@/lib/format'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { MutedText } from '@/ui/Page'
import { Status } from '@/ui/Status'
import { type Column, Table, type TableProps } from '@/ui/Table'
import { type InstanceCommands, instanceActions } from './actions'
import { powerOf } from './labels'

export interface InstanceTableProps extends Pick<TableProps<Instance>, 'items' | 'more'> {
  locationName: (id: string) => string
  commands: InstanceCommands
}

export function InstanceTable({ locationName, commands, ...table }: InstanceTableProps) {
  const columns = useMemo<Column<Instance>[]>(
    () => [
      {
        id: 'name',
        name: 'Name',
        cell: (instance) => (
          <Link to="/instances/$id" params={{ id: instance.id }}>
            <ClampedText text={instance.name} />
          </Link>
        ),
      },
      {
        id: 'power',
        name: 'Power',
        cell: (instance) => {
          const { name, tone } = powerOf(instance)
          return <Status tone={tone}>{name}</Status>
        },
      },
      { id: 'location', name: 'Location', cell: (instance) => locationName(instance.location_id) },
      {
        id: 'image',
        name: 'Image',
        cell: ({ image }) => (image ? <ClampedText text={image.name} /> : <MutedText>–</MutedText>),
      },
      {
        id: 'size',
        name: 'Memory / vCPU',
        align: 'end',
        cell: (instance) => `${formatBytes(instance.memory_bytes)} / ${plural(instance.vcpus, 'vCPU')}`,
      },
    ],
    [locationName],
  )
  return (
    <Table
      label="Instances"
      columns={columns}
      actions={(instance) => (
        <RowMenu label={`Actions for ${instance.name}`} actions={instanceActions(instance, commands)} />
      )}
      {...table}
    />
  )
}
