/** The size of a new disk, as it is typed: GiB, or nothing for the image's own. */
import { formatBytes, GIB } from '@/lib/format'

/** Sizes are whole multiples of this many bytes. */
const GRAIN = 512 * 1024

/** Bytes; nothing where nothing was typed or it is no number. */
export function parseDiskGib(text: string): number | null {
  const trimmed = text.trim().replace(',', '.')
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(trimmed)) return null
  return Math.ceil((Number(trimmed) * GIB) / GRAIN) * GRAIN
}

export function diskProblem(text: string, minimum: number): string | null {
  if (text.trim() === '') return null
  const bytes = parseDiskGib(text)
  if (bytes === null || bytes === 0) return 'A number of GiB, such as 20 or 0.5.'
  return bytes < minimum ? `The image needs a disk of at least ${formatBytes(minimum)}.` : null
}
