import { Lock } from 'lucide-react'
import type { Image, ImageStatus, Task } from '@/api/types'
import { percentOf } from '@/lib/format'
import { Hint } from '@/ui/Hint'
import { Status, type Tone } from '@/ui/Status'

/** The four statuses with their sentences, which are requirements S52 to S55 verbatim. */
const STATUSES: Record<ImageStatus, { name: string; tone: Tone; text: string }> = {
  creating: { name: 'Creating', tone: 'busy', text: 'Image is being generated from the instance disk' },
  available: { name: 'Available', tone: 'good', text: 'Image is ready to use for deployments' },
  error: { name: 'Error', tone: 'bad', text: 'Image creation failed -- check tasks for details' },
  deleting: { name: 'Deleting', tone: 'warn', text: 'Image is being removed' },
}

/** What an image shows whose deletion failed; it is still `deleting`. */
const REMOVAL_FAILED = {
  name: 'Deletion failed',
  tone: 'bad',
  text: 'Image could not be removed -- check tasks for details',
} as const

export const STATUS_CHOICES = (Object.keys(STATUSES) as ImageStatus[]).map((id) => ({
  id,
  label: STATUSES[id].name,
}))

export function ImageStatusBadge({ image, task }: { image: Image; task?: Task | undefined }) {
  const { name, tone, text } = image.removal_failed ? REMOVAL_FAILED : STATUSES[image.status]
  const percent =
    image.status === 'creating' && task?.state === 'running'
      ? (task.percent ?? percentOf(task.bytes_done, task.bytes_total))
      : null
  return (
    <Status tone={tone} hint={image.status_text || text}>
      {name}
      {percent !== null && ` ${Math.floor(percent)} %`}
    </Status>
  )
}

/** Shows that an image cannot be deleted. */
export function ProtectedBadge({ image }: { image: Image }) {
  if (!image.protected) return null
  return (
    <Hint text="This image cannot be deleted until its protection is switched off">
      <Lock size="1em" aria-hidden="true" />
      <span className="visually-hidden">Protected</span>
    </Hint>
  )
}
