import type { Instance } from '@/api/types'
import type { Tone } from '@/ui/Status'

const POWER: Record<Instance['power'], { name: string; tone: Tone }> = {
  running: { name: 'Running', tone: 'good' },
  paused: { name: 'Paused', tone: 'warn' },
  off: { name: 'Stopped', tone: 'idle' },
  unknown: { name: 'Unknown', tone: 'idle' },
}

/**
 * Returns the state of an instance in one word: its power, unless it is being created or deleted.
 */
export function powerOf(instance: Pick<Instance, 'status' | 'power'>): { name: string; tone: Tone } {
  switch (instance.status) {
    case 'deploying':
      return { name: 'Creating', tone: 'busy' }
    case 'deleting':
      return { name: 'Deleting', tone: 'warn' }
    case 'error':
      return { name: 'Error', tone: 'bad' }
    case 'ready':
      return POWER[instance.power]
  }
}

/** Returns why an instance accepts no action now, or `null`. */
export function busyReason(instance: Pick<Instance, 'status'>): string | null {
  switch (instance.status) {
    case 'ready':
      return null
    case 'deploying':
      return 'The instance is still being created.'
    case 'error':
      return 'The instance could not be created.'
    case 'deleting':
      return 'The instance is being removed.'
  }
}
