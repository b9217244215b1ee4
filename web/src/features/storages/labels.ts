/** The words for roles, states and health of image storages. */
import type { ImageStorage } from '@/api/types'
import type { Tone } from '@/ui/Status'

export const ROLES: Record<ImageStorage['role'], { label: string; detail: string }> = {
  customer: { label: 'Customer images', detail: 'Images that customers create from their instances' },
  stock: { label: 'Stock images', detail: 'Files that you offer to all customers' },
  iso: { label: 'ISOs', detail: 'CD images' },
}

export const STATES: Record<ImageStorage['state'], { label: string; detail: string }> = {
  active: { label: 'Active', detail: 'Takes new images' },
  read_only: { label: 'Read-only', detail: 'Takes no new images; existing ones are read from it' },
  draining: { label: 'Draining', detail: 'Takes no new images; its images move to other storages' },
}

export const HEALTH: Record<ImageStorage['health'], { label: string; tone: Tone; detail: string }> = {
  healthy: { label: 'Healthy', tone: 'good', detail: 'Every bound hypervisor can use it' },
  unknown: { label: 'Not reported', tone: 'idle', detail: 'No agent has reported it lately' },
  nearly_full: { label: 'Nearly full', tone: 'warn', detail: 'Less space is free than should be' },
  read_only: { label: 'Read-only', tone: 'warn', detail: 'It can be read but not written' },
  unreachable: { label: 'Unreachable', tone: 'bad', detail: 'A bound hypervisor cannot use it' },
}

export const roleChoices = (Object.keys(ROLES) as ImageStorage['role'][]).map((id) => ({
  id,
  ...ROLES[id],
}))

export const stateChoices = (Object.keys(STATES) as ImageStorage['state'][]).map((id) => ({
  id,
  ...STATES[id],
}))

/** Returns the number of images of all statuses on a storage. */
export const imageCount = (storage: ImageStorage): number =>
  storage.images.reduce((sum, images) => sum + images.count, 0)

/** Returns why a storage cannot be deleted now, or `null`. */
export function deleteReason(storage: ImageStorage): string | null {
  const count = imageCount(storage)
  if (count === 0) return null
  return count === 1 ? 'One image is on it. Drain it first.' : `${count} images are on it. Drain it first.`
}

/** Returns why a storage cannot be drained now, or `null`. */
export function drainReason(storage: ImageStorage): string | null {
  if (storage.role !== 'customer') return 'Only a storage for customer images can be drained.'
  return storage.state === 'draining' ? 'It is being drained.' : null
}
