import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { Names } from '@/api/queries/names'
import type { Image, Task } from '@/api/types'
import { formatBytes } from '@/lib/format'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { MutedText } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { type Column, Table, type TableProps } from '@/ui/Table'
import { type ImageCommands, imageActions } from './actions'
import { ImageStatusBadge } from './ImageStatusBadge'

export interface ImageTableProps extends Pick<TableProps<Image>, 'items' | 'sort' | 'onSort' | 'more'> {
  names: Names
  /** Returns the latest task of an image, for its progress. */
  taskOf: (image: Image) => Task | undefined
  commands: ImageCommands
}

/** My Images, with the columns that requirement S57 names. */
export function ImageTable({ names, taskOf, commands, ...table }: ImageTableProps) {
  const columns = useMemo<Column<Image>[]>(
    () => [
      {
        id: 'name',
        name: 'Name',
        sort: { ascending: 'Name, A to Z', descending: 'Name, Z to A' },
        cell: (image) => (
          <Link to="/images/$id" params={{ id: image.id }}>
            <ClampedText text={image.name} />
          </Link>
        ),
      },
      {
        id: 'source',
        name: 'Source Instance',
        cell: (image) => <SourceInstance image={image} names={names} />,
      },
      {
        id: 'size_bytes',
        name: 'Size',
        sort: { ascending: 'Smallest first', descending: 'Largest first' },
        align: 'end',
        cell: (image) => formatBytes(image.size_bytes),
      },
      {
        id: 'status',
        name: 'Status',
        cell: (image) => <ImageStatusBadge image={image} task={taskOf(image)} />,
      },
      {
        id: 'created_at',
        name: 'Created',
        sort: { ascending: 'Oldest first', descending: 'Newest first' },
        cell: (image) => <RelativeTime at={image.created_at} />,
      },
    ],
    [names, taskOf],
  )
  return (
    <Table
      label="My Images"
      columns={columns}
      actions={(image) => (
        <RowMenu label={`Actions for ${image.name}`} actions={imageActions(image, commands)} />
      )}
      {...table}
    />
  )
}

/** Links to the source instance while it is loaded; shows only its name otherwise. */
export function SourceInstance({ image, names }: { image: Image; names: Names }) {
  const source = image.source_instance
  if (!source) return <MutedText>–</MutedText>
  if (!source.id || !names.instance(source.id)) return <ClampedText text={source.name} />
  return (
    <Link to="/instances/$id" params={{ id: source.id }}>
      <ClampedText text={source.name} />
    </Link>
  )
}
