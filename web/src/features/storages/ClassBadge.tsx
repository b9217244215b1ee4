import type { ObjectClass, StorageScan } from '@/api/types'
import { formatCount } from '@/lib/format'
import { Status } from '@/ui/Status'
import { CLASSES, faultCount, faultText } from './objects'

/** What an object is, in one word; the hint says what that means. */
export function ClassBadge({ name }: { name: ObjectClass }) {
  const { label, tone, detail } = CLASSES[name]
  return (
    <Status tone={tone} hint={`${detail}.`}>
      {label}
    </Status>
  )
}

/** How many faults the last complete scan of a storage found. */
export function FindingsBadge({ scan }: { scan: StorageScan }) {
  const faults = faultCount(scan)
  if (faults === 0) {
    return (
      <Status tone="good" hint="The last scan found everything as it has to be.">
        No faults
      </Status>
    )
  }
  return (
    <Status tone="bad" hint={`The last scan found: ${faultText(scan)}.`}>
      {formatCount(faults)} {faults === 1 ? 'fault' : 'faults'}
    </Status>
  )
}
