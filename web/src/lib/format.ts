/**
 * Human-readable numbers. Sizes are in binary units, as the CLI prints them: 1 GiB = 2^30 bytes.
 */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

export const MIB = 2 ** 20
export const GIB = 2 ** 30

/** The text that stands for a missing value. */
export const NONE = '–'

/** Formats a size, such as `1.5 GiB`: one decimal below 100, none above, always rounded down. */
export function formatBytes(bytes: number | null | undefined): string {
  if (bytes == null || !Number.isFinite(bytes) || bytes < 0) return NONE
  let unit = 0
  let scaled = bytes
  while (scaled >= 1024 && unit < UNITS.length - 1) {
    scaled /= 1024
    unit += 1
  }
  const decimals = unit === 0 || scaled >= 100 || Number.isInteger(scaled) ? 0 : 1
  const factor = 10 ** decimals
  return `${(Math.floor(scaled * factor) / factor).toFixed(decimals)} ${UNITS[unit]}`
}

/** Formats a rate, such as `12.4 MiB/s`. */
export function formatRate(bytesPerSecond: number | null | undefined): string {
  return bytesPerSecond == null ? NONE : `${formatBytes(bytesPerSecond)}/s`
}

/** Formats a duration with at most two units: `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds) || seconds < 0) return NONE
  const whole = Math.round(seconds)
  const steps = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ] as const
  const first = steps.findIndex(([size]) => whole >= size)
  if (first === -1) return '0 s'
  return steps
    .slice(first, first + 2)
    .map(([size, name], index) => {
      const above = index === 0 ? Number.POSITIVE_INFINITY : (steps[first]?.[0] ?? 1)
      return [Math.floor((whole % above) / size), name] as const
    })
    .filter(([count], index) => index === 0 || count > 0)
    .map(([count, name]) => `${count} ${name}`)
    .join(' ')
}

/** Returns the share in percent, clamped to 0..100 and rounded down, so that 100 means complete. */
export function percentOf(done: number, total: number | null | undefined): number | null {
  if (!total || total <= 0) return null
  return Math.floor(Math.min(Math.max(done / total, 0), 1) * 100)
}

/** Shortens an id to its kind and its last characters, which differ most: `img_…9b2e11`. */
export function shortId(id: string): string {
  return id.replace(/^([a-z]+_).*(.{6})$/, '$1…$2')
}

/** Formats a count with its noun: `1 image`, `2 images`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

const COUNT = new Intl.NumberFormat('en')

/** Formats a count with separators: `100,000`. */
export const formatCount = (count: number): string => COUNT.format(count)

/**
 * Says which part of a list is shown: `101 to 200 of 100,000`. The total is left out where it is
 * not known, and where the list has changed since it was counted.
 */
export function rangeText(first: number, count: number, total: number | null): string {
  const last = first + count
  const range = `${formatCount(first + 1)} to ${formatCount(last)}`
  return total !== null && total >= last ? `${range} of ${formatCount(total)}` : range
}
