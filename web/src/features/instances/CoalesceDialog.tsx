import { useCoalesce } from '@/api/queries/instances'
import type { Instance } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { ConfirmDialog } from '@/ui/Dialog'

export interface CoalesceDialogProps {
  instance: Instance
  onClose: () => void
}

export function CoalesceDialog({ instance, onClose }: CoalesceDialogProps) {
  const coalesce = useCoalesce()
  return (
    <ConfirmDialog
      title={`Merge the disk layers of ${instance.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => coalesce.mutate(instance.id, { onSuccess: onClose })}
      confirm="Merge layers"
      busy={coalesce.isPending}
      problem={coalesce.isError ? asProblem(coalesce.error) : null}
    >
      <p>
        The layers of the disk are merged into one file with the same content, so that the next image is
        created faster. Until that is done, the instance cannot be started or captured.
      </p>
      <p>Layers that no other disk uses are removed. A disk that is already one file is not changed.</p>
    </ConfirmDialog>
  )
}
