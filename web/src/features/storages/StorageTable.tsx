import { Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import type { ImageStorage, StorageScan } from '@/api/types'
import { formatBytes } from '@/lib/format'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { MutedText } from '@/ui/Page'
import { Status } from '@/ui/Status'
import { type Column, Table } from '@/ui/Table'
import { type StorageCommands, storageActions } from './actions'
import { FindingsBadge } from './ClassBadge'
import { HEALTH, imageCount, ROLES, STATES } from './labels'
import { faultCount } from './objects'
import styles from './StorageTable.module.css'

/** A storage's health in one word; the hint says what is wrong. */
export function HealthBadge({ storage }: { storage: Pick<ImageStorage, 'health' | 'problem'> }) {
  const { label, tone, detail } = HEALTH[storage.health]
  return (
    <Status tone={tone} hint={storage.problem ?? detail}>
      {label}
    </Status>
  )
}

/** How much is free of how much. */
export function Room({
  storage,
}: {
  storage: { available_bytes: number | null; total_bytes: number | null }
}) {
  if (storage.available_bytes == null) return <MutedText>not reported</MutedText>
  return (
    <span>
      {formatBytes(storage.available_bytes)} free
      {storage.total_bytes != null && <MutedText> of {formatBytes(storage.total_bytes)}</MutedText>}
    </span>
  )
}

export interface StorageTableProps {
  items: readonly ImageStorage[]
  commands: StorageCommands
  /** Returns the last complete scan of a storage. */
  findings: (id: string) => StorageScan | undefined
  hypervisorName: (id: string) => string
}

export function StorageTable({ items, commands, findings, hypervisorName }: StorageTableProps) {
  const columns = useMemo<Column<ImageStorage>[]>(
    () => [
      {
        id: 'name',
        name: 'Name',
        cell: (storage) => (
          <Link to="/image-storages/$id" params={{ id: storage.id }}>
            <ClampedText text={storage.name} />
          </Link>
        ),
      },
      {
        id: 'role',
        name: 'Use',
        nowrap: true,
        cell: (storage) => (
          <span>
            {ROLES[storage.role].label} <MutedText>({storage.kind})</MutedText>
          </span>
        ),
      },
      { id: 'room', name: 'Room', nowrap: true, cell: (storage) => <Room storage={storage} /> },
      { id: 'images', name: 'Images', align: 'end', cell: (storage) => imageCount(storage) },
      {
        id: 'health',
        name: 'Health',
        nowrap: true,
        cell: (storage) => {
          const scan = findings(storage.id)
          return (
            <span className={styles.badges}>
              <HealthBadge storage={storage} />
              {scan && faultCount(scan) > 0 && <FindingsBadge scan={scan} />}
              {storage.state !== 'active' && <MutedText>{STATES[storage.state].label}</MutedText>}
            </span>
          )
        },
      },
      {
        id: 'hypervisors',
        name: 'Hypervisors',
        cell: (storage) =>
          storage.hypervisor_ids.length === 0 ? (
            <MutedText>none</MutedText>
          ) : (
            <ClampedText text={storage.hypervisor_ids.map(hypervisorName).join(', ')} />
          ),
      },
    ],
    [findings, hypervisorName],
  )
  return (
    <Table
      label="Image Storages"
      columns={columns}
      items={items}
      actions={(storage) => (
        <RowMenu label={`Actions for ${storage.name}`} actions={storageActions(storage, commands)} />
      )}
    />
  )
}
