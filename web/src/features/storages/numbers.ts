/** The numbers that are typed into the forms of image storages. */
import { GIB } from '@/lib/format'

export interface Parsed<T> {
  value: T
  problem: string | null
}

const MAX_WEIGHT = 1000

export function parseWeight(typed: string): Parsed<number> {
  const text = typed.trim()
  if (!/^\d{1,4}$/.test(text) || Number(text) > MAX_WEIGHT) {
    return { value: 0, problem: `Enter a whole number from 0 to ${MAX_WEIGHT}.` }
  }
  return { value: Number(text), problem: null }
}

/** Reads a number of GiB as bytes; nothing stands for the default. */
export function parseGib(typed: string): Parsed<number | null> {
  const text = typed.trim().replace(',', '.')
  if (text === '') return { value: null, problem: null }
  const bytes = Number(text) * GIB
  if (!/^\d+(\.\d+)?$/.test(text) || !Number.isSafeInteger(Math.round(bytes))) {
    return { value: null, problem: 'Enter a number of GiB, such as 20.' }
  }
  return { value: Math.round(bytes), problem: null }
}
