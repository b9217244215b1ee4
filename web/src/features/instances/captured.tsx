import { useInfiniteQuery } from '@tanstack/react-query'
import { tasksQuery } from '@/api/queries/tasks'
import { Notice } from '@/ui/Notice'

/** Returns whether an image of an instance is being created, or waits for its turn. */
export function useIsCaptured(instanceId: string): boolean {
  const { data } = useInfiniteQuery(tasksQuery({ instance_id: instanceId, state: 'queued,running' }))
  return data?.pages.some(({ items }) => items.some(({ kind }) => kind === 'image.capture')) ?? false
}

/** Says what becomes of the image that is being created. */
export function CaptureNotice() {
  return (
    <Notice tone="warn" title="An image of it is being created">
      <p>Going on cancels that. The image is not kept.</p>
    </Notice>
  )
}
