import { useDeleteInstance } from '@/api/queries/instances'
import type { Instance } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { ConfirmDialog } from '@/ui/Dialog'
import { CaptureNotice, useIsCaptured } from './captured'

export interface DeleteInstanceDialogProps {
  instance: Instance
  onClose: () => void
  onDeleted?: () => void
}

export function DeleteInstanceDialog({ instance, onClose, onDeleted }: DeleteInstanceDialogProps) {
  const remove = useDeleteInstance()
  const isCaptured = useIsCaptured(instance.id)
  const confirm = () =>
    // Not a callback of `mutate`: the page is gone when the event of the deletion is faster.
    remove.mutateAsync({ id: instance.id, cancelCaptures: isCaptured }).then(
      () => {
        onClose()
        onDeleted?.()
      },
      () => {}, // The dialog shows the error of the mutation.
    )
  return (
    <ConfirmDialog
      title={`Delete ${instance.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={confirm}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>The instance is stopped. Its disks are removed and cannot be recovered.</p>
      <p>Images created from this instance are kept.</p>
      {isCaptured && <CaptureNotice />}
    </ConfirmDialog>
  )
}
