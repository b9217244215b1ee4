import { useNavigate } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import { usePowerAction } from '@/api/queries/instances'
import type { Instance } from '@/api/types'
import { CaptureDialog } from '@/features/images/CaptureDialog'
import type { InstanceCommands } from '@/features/instances/actions'
import { CoalesceDialog } from '@/features/instances/CoalesceDialog'
import { DeleteInstanceDialog } from '@/features/instances/DeleteInstanceDialog'
import { StopInstanceDialog } from '@/features/instances/StopInstanceDialog'
import { asProblem, type Problem } from '@/lib/problem'

interface Open {
  kind: 'capture' | 'remove' | 'stop' | 'coalesce'
  instance: Instance
}

export interface InstanceCommandsView {
  commands: InstanceCommands
  /** The open dialog. */
  dialog: ReactNode
  /** Why the last power action was refused. */
  problem: Problem | null
}

/**
 * Returns the actions on instances and their open dialog, for the list and for an instance's page.
 */
export function useInstanceCommands(onDeleted?: () => void): InstanceCommandsView {
  const [open, setOpen] = useState<Open | null>(null)
  const power = usePowerAction()
  const navigate = useNavigate()
  const close = () => setOpen(null)

  const commands: InstanceCommands = {
    capture: (instance) => setOpen({ kind: 'capture', instance }),
    remove: (instance) => setOpen({ kind: 'remove', instance }),
    coalesce: (instance) => setOpen({ kind: 'coalesce', instance }),
    reinstall: ({ id }) => void navigate({ to: '/instances/$id/reinstall', params: { id } }),
    start: (instance) => power.mutate({ id: instance.id, action: 'start' }),
    stop: (instance) => setOpen({ kind: 'stop', instance }),
  }
  const dialog =
    open?.kind === 'capture' ? (
      <CaptureDialog
        instance={open.instance}
        onClose={close}
        onCreated={(id) => void navigate({ to: '/images/$id', params: { id } })}
      />
    ) : open?.kind === 'remove' ? (
      <DeleteInstanceDialog instance={open.instance} onClose={close} {...(onDeleted ? { onDeleted } : {})} />
    ) : open?.kind === 'stop' ? (
      <StopInstanceDialog instance={open.instance} onClose={close} />
    ) : open?.kind === 'coalesce' ? (
      <CoalesceDialog instance={open.instance} onClose={close} />
    ) : null

  return { commands, dialog, problem: power.isError ? asProblem(power.error) : null }
}
