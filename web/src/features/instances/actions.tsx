import { Camera, Combine, Play, Power, RefreshCcw, Trash2 } from 'lucide-react'
import type { Instance } from '@/api/types'
import { toSentence } from '@/lib/problem'
import type { MenuAction } from '@/ui/Menu'
import { busyReason } from './labels'

/** The actions on an instance, which the page implements. */
export interface InstanceCommands {
  capture: (instance: Instance) => void
  start: (instance: Instance) => void
  stop: (instance: Instance) => void
  reinstall: (instance: Instance) => void
  remove: (instance: Instance) => void
  coalesce: (instance: Instance) => void
}

/** Returns why an instance cannot be captured now, in the server's words, or `null`. */
export function captureReason(instance: Instance): string | null {
  if (instance.capture.allowed) return null
  return toSentence(instance.capture.reason ?? 'this instance cannot be captured now')
}

/** Returns why an instance cannot be started now, or `null`. */
export function startReason(instance: Instance): string | null {
  return busyReason(instance) ?? (instance.power === 'running' ? 'The instance is already running.' : null)
}

/** Returns why an instance cannot be stopped now, or `null`. */
export function stopReason(instance: Instance): string | null {
  return busyReason(instance) ?? (instance.power === 'off' ? 'The instance is already stopped.' : null)
}

/**
 * Returns why the disk's layers cannot be merged: the hypervisor has them open while the instance
 * runs.
 */
export function coalesceReason(instance: Pick<Instance, 'status' | 'power'>): string | null {
  const isOn = instance.power === 'running' || instance.power === 'paused'
  return busyReason(instance) ?? (isOn ? 'Stop the instance first.' : null)
}

/** The actions that only administrators have. */
export function adminActions(instance: Instance, commands: InstanceCommands): MenuAction[] {
  return [
    {
      id: 'coalesce',
      label: 'Merge disk layers',
      icon: <Combine />,
      onAction: () => commands.coalesce(instance),
      reason: coalesceReason(instance),
    },
  ]
}

export function instanceActions(instance: Instance, commands: InstanceCommands): MenuAction[] {
  return [
    {
      id: 'image',
      label: 'Image',
      icon: <Camera />,
      onAction: () => commands.capture(instance),
      reason: captureReason(instance),
    },
    {
      id: 'start',
      label: 'Start',
      icon: <Play />,
      onAction: () => commands.start(instance),
      reason: startReason(instance),
    },
    {
      id: 'stop',
      label: 'Stop',
      icon: <Power />,
      onAction: () => commands.stop(instance),
      reason: stopReason(instance),
    },
    {
      id: 'reinstall',
      label: 'Reinstall',
      icon: <RefreshCcw />,
      onAction: () => commands.reinstall(instance),
      reason: busyReason(instance),
      separated: true,
    },
    {
      id: 'delete',
      label: 'Delete',
      icon: <Trash2 />,
      onAction: () => commands.remove(instance),
      reason: instance.status === 'deleting' || instance.status === 'deploying' ? busyReason(instance) : null,
      danger: true,
      separated: true,
    },
  ]
}
