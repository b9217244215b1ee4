import { useDeleteInstance } from '@/api/queries/instances'
import type { Instance } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { ConfirmDialog } from '@/ui/Dialog'

export interface DeleteInstanceDialogProps {
  instance: Instance
  onClose: () => void
}

export function DeleteInstanceDialog({ instance, onClose }: DeleteInstanceDialogProps) {
  const remove = useDeleteInstance()
  return (
    <ConfirmDialog
      title={`Delete ${instance.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => remove.mutate(instance.id, { onSuccess: onClose })}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>The instance is stopped. Its disks are removed and cannot be recovered.</p>
      <p>Images created from this instance are kept.</p>
    </ConfirmDialog>
  )
}
