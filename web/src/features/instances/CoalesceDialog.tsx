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
        The chain of layers behind its disk becomes one file with the same content, so that its next image is
        created faster. The instance cannot be started or imaged meanwhile.
      </p>
      <p>Layers that no other disk refers to are removed. A disk that is one file already stays as it is.</p>
    </ConfirmDialog>
  )
}
