/** The numbers that are typed into the forms of image storages. */
import type { Parsed } from '@/lib/typed'

const MAX_WEIGHT = 1000

export function parseWeight(typed: string): Parsed<number> {
  const text = typed.trim()
  if (!/^\d{1,4}$/.test(text) || Number(text) > MAX_WEIGHT) {
    return { value: 0, problem: `Enter a whole number from 0 to ${MAX_WEIGHT}.` }
  }
  return { value: Number(text), problem: null }
}
