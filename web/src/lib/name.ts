/** The server's rule for names (`host/domain/src/name.rs`), so that a wrong one is said before it is sent. */

export const MAX_NAME_CHARS = 128

// Control characters, zero-width characters and bidirectional overrides.
const HIDDEN = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u

/** What is wrong with a name, or nothing. */
export function nameProblem(text: string): string | null {
  const name = text.trim()
  const chars = [...name].length
  if (chars === 0) return 'A name needs at least one visible character.'
  if (chars > MAX_NAME_CHARS) return `A name has at most ${MAX_NAME_CHARS} characters, this one has ${chars}.`
  if (HIDDEN.test(name)) return 'A name holds no control or invisible characters.'
  return null
}
