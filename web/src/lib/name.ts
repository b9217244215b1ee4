/**
 * The server's rule for names (`host/domain/src/name.rs`), so that an invalid name is reported
 * before it is sent.
 */

export const MAX_NAME_CHARS = 128

// Control characters, zero-width characters and bidirectional overrides.
const HIDDEN = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u

/** Returns why a name is invalid, or `null`. */
export function nameProblem(text: string): string | null {
  const name = text.trim()
  const chars = [...name].length
  if (chars === 0) return 'Enter a name with at least one visible character.'
  if (chars > MAX_NAME_CHARS) return `A name has at most ${MAX_NAME_CHARS} characters; this one has ${chars}.`
  if (HIDDEN.test(name)) return 'A name cannot contain control or invisible characters.'
  return null
}
