/** Instants as people read them. `now` is always handed in, so that tests hold the clock. */

const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
const ABSOLUTE = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })

const STEPS: readonly (readonly [number, Intl.RelativeTimeFormatUnit])[] = [
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
]

/** After this many seconds a date says more than "12 days ago". */
const DATE_AFTER_S = 7 * 86_400

/** `just now`, `5 minutes ago`, `yesterday`; the date once it is more than a week away. */
export function formatSince(at: string, now: number): string {
  const seconds = Math.round((now - Date.parse(at)) / 1000)
  if (Number.isNaN(seconds)) return at
  if (Math.abs(seconds) > DATE_AFTER_S) return formatInstant(at)
  for (const [size, unit] of STEPS) {
    if (Math.abs(seconds) >= size) return RELATIVE.format(-Math.trunc(seconds / size), unit)
  }
  return 'just now'
}

/** `20 Nov 2026, 11:40`, in the reader's time zone. */
export function formatInstant(at: string): string {
  const time = Date.parse(at)
  return Number.isNaN(time) ? at : ABSOLUTE.format(time)
}

/** A text of the server with its instants in the reader's time zone. */
export function withLocalTimes(text: string): string {
  return text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, formatInstant)
}

/** Seconds between two instants; until `now` while there is no end. */
export function secondsBetween(from: string | null, to: string | null, now: number): number | null {
  if (!from) return null
  const seconds = ((to ? Date.parse(to) : now) - Date.parse(from)) / 1000
  return Number.isNaN(seconds) ? null : Math.max(0, seconds)
}
