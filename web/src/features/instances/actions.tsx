import { Camera, Combine, Play, Power, Trash2 } from 'lucide-react'
import type { Instance } from '@/api/types'
import { sentence } from '@/lib/problem'
import type { MenuAction } from '@/ui/Menu'
import { busyReason } from './labels'

/** What can be done with an instance; the page says how. */
export interface InstanceCommands {
  capture: (instance: Instance) => void
  power: (instance: Instance, action: 'start' | 'stop') => void
  remove: (instance: Instance) => void
  coalesce: (instance: Instance) => void
}

/** Why an image cannot be created of it, in the server's words. */
export function captureReason(instance: Instance): string | null {
  if (instance.capture.allowed) return null
  return sentence(instance.capture.reason ?? 'images of this instance cannot be created now')
}

export function startReason(instance: Instance): string | null {
  return busyReason(instance) ?? (instance.power === 'running' ? 'It is running.' : null)
}

export function stopReason(instance: Instance): string | null {
  return busyReason(instance) ?? (instance.power === 'off' ? 'It is stopped.' : null)
}

/** Why its layers cannot be merged: its hypervisor holds them open while it runs. */
export function coalesceReason(instance: Pick<Instance, 'status' | 'power'>): string | null {
  const isOn = instance.power === 'running' || instance.power === 'paused'
  return busyReason(instance) ?? (isOn ? 'Stop the instance first.' : null)
}

/** What only operators do with an instance. */
export function operatorActions(instance: Instance, commands: InstanceCommands): MenuAction[] {
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
      onAction: () => commands.power(instance, 'start'),
      reason: startReason(instance),
    },
    {
      id: 'stop',
      label: 'Stop',
      icon: <Power />,
      onAction: () => commands.power(instance, 'stop'),
      reason: stopReason(instance),
    },
    {
      id: 'delete',
      label: 'Delete',
      icon: <Trash2 />,
      onAction: () => commands.remove(instance),
      reason: instance.status === 'deleting' || instance.status === 'deploying' ? busyReason(instance) : null,
      danger: true,
      apart: true,
    },
  ]
}
