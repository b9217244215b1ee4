import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import type { StorageScan } from '@/api/types'
import { formatBytes, formatCount } from '@/lib/format'
import { Card, type Fact, Facts, MutedText } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { ClassBadge } from './ClassBadge'
import { CLASSES, type Found, foundBy } from './objects'
import styles from './ScanSummary.module.css'

export interface ScanSummaryProps {
  storageId: string
  scan: StorageScan
  hypervisorName: (id: string) => string
  actions?: ReactNode
}

/** What the last complete scan found, by class: faults come first. */
export function ScanSummary({ storageId, scan, hypervisorName, actions }: ScanSummaryProps) {
  const facts: Fact[] = [
    { name: 'Ended', value: <RelativeTime at={scan.finished_at ?? scan.started_at} /> },
    {
      name: 'Objects',
      value: (
        <span title={`${scan.bytes} bytes`}>
          {formatCount(scan.objects)} ({formatBytes(scan.bytes)})
        </span>
      ),
    },
    { name: 'Listed by', value: hypervisorName(scan.hypervisor_id) },
    { name: 'Content', value: scan.deep ? 'read and compared' : 'not read' },
  ]
  const found = foundBy(scan)
  return (
    <Card title="Last scan" actions={actions}>
      <Facts facts={facts} />
      {found.length === 0 && <MutedText>Nothing is on it.</MutedText>}
      {found.length > 0 && (
        <ul className={styles.classes} aria-label="What was found">
          {found.map((one) => (
            <FoundClass key={one.class} storageId={storageId} found={one} />
          ))}
        </ul>
      )}
    </Card>
  )
}

function FoundClass({ storageId, found }: { storageId: string; found: Found }) {
  return (
    <li className={found.fault ? styles.fault : undefined}>
      <span>
        <ClassBadge name={found.class} />
      </span>
      <Link
        to="/image-storages/$id/objects"
        params={{ id: storageId }}
        search={{ class: found.class }}
        aria-label={`Show ${formatCount(found.count)}: ${CLASSES[found.class].label}`}
        className={styles.count}
      >
        {formatCount(found.count)}
      </Link>
      <span className={styles.size}>{found.class === 'missing' ? '' : formatBytes(found.bytes)}</span>
      <span className={styles.detail}>{CLASSES[found.class].detail}</span>
    </li>
  )
}
