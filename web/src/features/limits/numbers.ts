/** The limits of images as they are typed and shown. */
import { formatBytes } from '@/lib/format'
import type { Parsed } from '@/lib/typed'

/** The largest number of images that a limit can have. */
const MAX_IMAGES = 2 ** 31 - 1

/** Reads a number of images; nothing stands for no limit. */
export function parseImages(typed: string): Parsed<number | null> {
  const text = typed.trim()
  if (text === '') return { value: null, problem: null }
  if (!/^\d{1,10}$/.test(text) || Number(text) > MAX_IMAGES) {
    return { value: null, problem: 'Enter a whole number, such as 10.' }
  }
  return { value: Number(text), problem: null }
}

/** Reads a number of things, from a smallest to a largest one. */
export function parseCount(typed: string, largest: number, smallest = 1): Parsed<number> {
  const text = typed.trim()
  const number = Number(text)
  if (!/^\d{1,9}$/.test(text) || number < smallest || number > largest) {
    return { value: smallest, problem: `Enter a whole number from ${smallest} to ${largest}.` }
  }
  return { value: number, problem: null }
}

/** Returns a number of used images, with the limit if there is one. */
export const imagesOf = (used: number, limit: number | null): string =>
  limit === null ? String(used) : `${used} of ${limit}`

/** Returns used bytes, with the limit if there is one. */
export const bytesOf = (used: number, limit: number | null): string =>
  limit === null ? formatBytes(used) : `${formatBytes(used)} of ${formatBytes(limit)}`
