/** The size of a new disk as it is typed: in GiB, or empty for the image's size. */
import { formatBytes, GIB } from '@/lib/format'

/** Disk sizes are multiples of this number of bytes. */
const GRANULARITY = 512 * 1024

/** Returns the size in bytes; `null` when the text is empty or not a number. */
export function parseDiskGib(text: string): number | null {
  const trimmed = text.trim().replace(',', '.')
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(trimmed)) return null
  return Math.ceil((Number(trimmed) * GIB) / GRANULARITY) * GRANULARITY
}

/** Returns why a disk size is invalid, or `null`; `minimum` is the image's size in bytes. */
export function diskProblem(text: string, minimum: number): string | null {
  if (text.trim() === '') return null
  const bytes = parseDiskGib(text)
  if (bytes === null || bytes === 0) return 'Enter a number of GiB, such as 20 or 0.5.'
  return bytes < minimum ? `The image needs a disk of at least ${formatBytes(minimum)}.` : null
}

/** Returns why the size of an empty disk is invalid, or `null`. */
export function emptyDiskProblem(text: string): string | null {
  return parseDiskGib(text) ? null : 'Enter a number of GiB, such as 20 or 0.5.'
}
