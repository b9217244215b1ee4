import type { Share, ShareState } from '@/api/types'
import type { Tone } from '@/ui/Status'

/** The states of a share with the words that are shown. */
export const SHARE_STATES: Record<ShareState, { name: string; tone: Tone; text: string }> = {
  offered: { name: 'Offered', tone: 'busy', text: 'The account has not decided yet' },
  accepted: { name: 'Accepted', tone: 'good', text: 'The account may create instances from the image' },
  rejected: { name: 'Rejected', tone: 'idle', text: 'The account did not want the image' },
  revoked: { name: 'Revoked', tone: 'idle', text: 'The owner ended the share' },
  left: { name: 'Left', tone: 'idle', text: 'The account gave the image up' },
  expired: { name: 'Expired', tone: 'idle', text: 'The time of the share is over' },
}

/** Whether a share is neither refused nor over. */
export const isOpen = ({ state }: Share): boolean => state === 'offered' || state === 'accepted'

const DAY_MS = 86_400_000

/** How long a share lasts, as it is chosen. */
export const ENDS = [
  { id: 'never', label: 'When it is revoked', days: null },
  { id: '1', label: 'In 1 day', days: 1 },
  { id: '7', label: 'In 7 days', days: 7 },
  { id: '30', label: 'In 30 days', days: 30 },
  { id: '365', label: 'In 1 year', days: 365 },
] as const

/** Returns the time at which a share ends that is offered now; `null` for never. */
export function endOf(choice: string, now: number): string | null {
  const days = ENDS.find(({ id }) => id === choice)?.days ?? null
  return days === null ? null : new Date(now + days * DAY_MS).toISOString()
}
