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
import { Tags } from '@/ui/Tags'
import { type ImageCommands, imageActions } from './actions'
import { ImageStatusBadge, ProtectedBadge } from './ImageStatusBadge'

export interface ImageTableProps extends Pick<TableProps<Image>, 'items' | 'sort' | 'onSort' | 'more'> {
  names: Names
  /** Returns the latest task of an image, for its progress. */
  taskOf: (image: Image) => Task | undefined
  commands: ImageCommands
  /** Lists only images with a tag. */
  onTag: (tag: string) => void
}

/** My Images, with the columns that requirement S57 names. */
export function ImageTable({ names, taskOf, commands, onTag, ...table }: ImageTableProps) {
  const columns = useMemo<Column<Image>[]>(
    () => [
      {
        id: 'name',
        name: 'Name',
        sort: { ascending: 'Name, A to Z', descending: 'Name, Z to A' },
        cell: (image) => (
          <>
            <Link to="/images/$id" params={{ id: image.id }}>
              <ClampedText text={image.name} />
            </Link>
            <Tags
              label={`Tags of ${image.name}`}
              tags={image.tags}
              action="Show images with the tag"
              onPress={onTag}
            />
          </>
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
        cell: (image) => (
          <>
            <ImageStatusBadge image={image} task={taskOf(image)} /> <ProtectedBadge image={image} />
          </>
        ),
      },
      {
        id: 'created_at',
        name: 'Created',
        sort: { ascending: 'Oldest first', descending: 'Newest first' },
        cell: (image) => <RelativeTime at={image.created_at} />,
      },
    ],
    [names, taskOf, onTag],
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

/** Links to the source instance; shows only its name after it was deleted. */
export function SourceInstance({ image, names }: { image: Image; names: Names }) {
  const source = image.source_instance
  if (!source) return <MutedText>–</MutedText>
  if (names.instance(source.id) === null) return <ClampedText text={source.name} />
  return (
    <Link to="/instances/$id" params={{ id: source.id }}>
      <ClampedText text={source.name} />
    </Link>
  )
}
