/** Numbers that are typed into forms. */
import { GIB } from './format'

/** What was typed means, or why it means nothing. */
export interface Parsed<T> {
  value: T
  problem: string | null
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
