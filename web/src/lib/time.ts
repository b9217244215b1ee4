/** Human-readable instants. `now` is always a parameter, so that tests control the clock. */

const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
const ABSOLUTE = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })

const STEPS: readonly (readonly [number, Intl.RelativeTimeFormatUnit])[] = [
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
]

/** After this many seconds the date is shown instead of, for example, "12 days ago". */
const DATE_AFTER_S = 7 * 86_400

/**
 * Formats an instant as `just now`, `5 minutes ago` or `yesterday`; as a date when it is more than
 * a week away.
 */
export function formatSince(at: string, now: number): string {
  const seconds = Math.round((now - Date.parse(at)) / 1000)
  if (Number.isNaN(seconds)) return at
  if (Math.abs(seconds) > DATE_AFTER_S) return formatInstant(at)
  for (const [size, unit] of STEPS) {
    if (Math.abs(seconds) >= size) return RELATIVE.format(-Math.trunc(seconds / size), unit)
  }
  return 'just now'
}

/** Formats an instant in the reader's time zone, such as `20 Nov 2026, 11:40`. */
export function formatInstant(at: string): string {
  const time = Date.parse(at)
  return Number.isNaN(time) ? at : ABSOLUTE.format(time)
}

/** Returns a text of the server with its instants in the reader's time zone. */
export function withLocalTimes(text: string): string {
  return text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, formatInstant)
}

/** Returns the seconds between two instants, at least 0. */
export function secondsBetween(from: string, to: string): number | null {
  const seconds = (Date.parse(to) - Date.parse(from)) / 1000
  return Number.isNaN(seconds) ? null : Math.max(0, seconds)
}
