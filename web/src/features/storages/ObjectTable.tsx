import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { StorageObject } from '@/api/types'
import { formatBytes, NONE } from '@/lib/format'
import { formatInstant } from '@/lib/time'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { MutedText } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { type Column, Table } from '@/ui/Table'
import { ClassBadge } from './ClassBadge'
import styles from './ObjectTable.module.css'
import { type ObjectCommands, objectActions } from './object-actions'
import { IMAGE_STATUSES } from './objects'

export interface ObjectTableProps {
  items: readonly StorageObject[]
  commands: ObjectCommands
  accountName: (id: string) => string
}

type Row = StorageObject & { id: string }

/** A page of the objects of an image storage. */
export function ObjectTable({ items, commands, accountName }: ObjectTableProps) {
  const columns = useMemo<Column<Row>[]>(
    () => [
      {
        id: 'key',
        name: 'Key',
        cell: ({ key }) => (
          <code>
            <ClampedText text={key} />
          </code>
        ),
      },
      { id: 'size', name: 'Size', align: 'end', cell: (object) => <ObjectSize object={object} /> },
      {
        id: 'changed',
        name: 'Changed',
        nowrap: true,
        cell: ({ modified_at }) => (modified_at ? <RelativeTime at={modified_at} /> : NONE),
      },
      {
        id: 'class',
        name: 'Class',
        nowrap: true,
        cell: (object) => (
          <span className={styles.lines}>
            <ClassBadge name={object.class} />
            {object.delete_after && object.class === 'quarantined' && (
              <MutedText>until {formatInstant(object.delete_after)}</MutedText>
            )}
          </span>
        ),
      },
      {
        id: 'image',
        name: 'Image',
        cell: ({ image }) =>
          image ? (
            <span className={styles.lines}>
              <Link to="/images/$id" params={{ id: image.id }}>
                <ClampedText text={image.name} />
              </Link>
              <MutedText>
                {IMAGE_STATUSES[image.status]}, of {accountName(image.account_id)}
              </MutedText>
            </span>
          ) : (
            <MutedText>none</MutedText>
          ),
      },
    ],
    [accountName],
  )
  return (
    <Table
      label="Objects"
      columns={columns}
      items={items.map((object) => ({ ...object, id: object.key }))}
      actions={(object) => {
        const actions = objectActions(object, commands)
        return actions.length > 0 && <RowMenu label={`Actions for ${object.key}`} actions={actions} />
      }}
    />
  )
}

/** The size of an object, and of the image's file where that is another one. */
function ObjectSize({ object: { size_bytes, image } }: { object: StorageObject }) {
  const stored = image?.size_bytes ?? null
  return (
    <span className={styles.size}>
      <span title={size_bytes === null ? undefined : `${size_bytes} bytes`}>{formatBytes(size_bytes)}</span>
      {stored !== null && stored !== size_bytes && (
        <span title={`${stored} bytes`}>
          <MutedText>not {formatBytes(stored)}</MutedText>
        </span>
      )}
    </span>
  )
}
