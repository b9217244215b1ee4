/** What is typed about webhooks, and how they are shown. */
import type { Webhook } from '@/api/types'

/** Returns why an address cannot be sent. */
export function addressProblem(typed: string): string | null {
  try {
    const { protocol, host, username, hash } = new URL(typed.trim())
    if (host && !username && !hash && (protocol === 'http:' || protocol === 'https:')) return null
  } catch {
    // Not an address at all.
  }
  return 'Enter an address that begins with https:// or http://, without a user.'
}

/** Reads events with commas, spaces or lines in between; nothing stands for all. */
export const parseEvents = (typed: string): string[] => typed.split(/[\s,]+/).filter(Boolean)

/** Returns why events cannot be sent. */
export function eventsProblem(typed: string): string | null {
  const odd = parseEvents(typed).find((event) => !/^[a-z_]+\.([a-z_]+|\*)$/.test(event))
  return odd ? `${odd} is no event. Write image.changed, or image.* for all of a group.` : null
}

export const eventsText = ({ events }: Pick<Webhook, 'events'>): string =>
  events.length === 0 ? 'All' : events.join(', ')

/** Says in a word what becomes of messages. */
export function stateOf({ enabled, given_up, failures }: Webhook): 'On' | 'Off' | 'Failing' | 'Given up' {
  if (!enabled) return given_up ? 'Given up' : 'Off'
  return failures > 0 ? 'Failing' : 'On'
}
