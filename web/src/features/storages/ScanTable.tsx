import type { StorageScan } from '@/api/types'
import { formatBytes, formatCount, formatDuration, NONE } from '@/lib/format'
import { secondsBetween } from '@/lib/time'
import { MutedText } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { Status, type Tone } from '@/ui/Status'
import { type Column, Table } from '@/ui/Table'
import { FindingsBadge } from './ClassBadge'

const SCAN_STATES: Record<StorageScan['state'], { label: string; tone: Tone }> = {
  active: { label: 'Running', tone: 'busy' },
  complete: { label: 'Complete', tone: 'good' },
  failed: { label: 'Failed', tone: 'bad' },
}

const COLUMNS: readonly Column<StorageScan>[] = [
  {
    id: 'started',
    name: 'Started',
    cell: (scan) => (
      <span>
        <RelativeTime at={scan.started_at} />
        {scan.deep && <MutedText> deep</MutedText>}
      </span>
    ),
  },
  { id: 'took', name: 'Took', nowrap: true, cell: took },
  {
    id: 'objects',
    name: 'Objects',
    align: 'end',
    cell: (scan) => (scan.state === 'complete' ? formatCount(scan.objects) : NONE),
  },
  {
    id: 'size',
    name: 'Size',
    align: 'end',
    cell: (scan) => (scan.state === 'complete' ? formatBytes(scan.bytes) : NONE),
  },
  {
    id: 'result',
    name: 'Result',
    nowrap: true,
    cell: (scan) => {
      if (scan.state === 'complete') return <FindingsBadge scan={scan} />
      const { label, tone } = SCAN_STATES[scan.state]
      return <Status tone={tone}>{label}</Status>
    },
  },
]

function took({ started_at, finished_at }: StorageScan): string {
  const seconds = finished_at ? secondsBetween(started_at, finished_at) : null
  return seconds !== null && seconds < 1 ? 'less than a second' : formatDuration(seconds)
}

/** The latest scans of a storage. */
export function ScanTable({ scans }: { scans: readonly StorageScan[] }) {
  return <Table label="Latest scans" columns={COLUMNS} items={scans} />
}
