import { usePowerAction } from '@/api/queries/instances'
import type { Instance } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { ConfirmDialog } from '@/ui/Dialog'
import { CaptureNotice, useIsCaptured } from './captured'

export interface StopInstanceDialogProps {
  instance: Instance
  onClose: () => void
}

/** Asks before a running instance is shut down. */
export function StopInstanceDialog({ instance, onClose }: StopInstanceDialogProps) {
  const power = usePowerAction()
  const isCaptured = useIsCaptured(instance.id)
  const confirm = () =>
    power.mutate({ id: instance.id, action: 'stop', cancelCaptures: isCaptured }, { onSuccess: onClose })
  return (
    <ConfirmDialog
      title={`Stop ${instance.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={confirm}
      confirm="Stop"
      busy={power.isPending}
      problem={power.isError ? asProblem(power.error) : null}
    >
      <p>Its guest is asked to shut down, and powered off if it does not in time. Its disk is kept.</p>
      {isCaptured && <CaptureNotice />}
    </ConfirmDialog>
  )
}
