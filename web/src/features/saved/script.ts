/** The server's rules for user scripts (`host/domain/src/user_script.rs`). */

const MAX_BYTES = 64 * 1024

/** Returns why the content of a script is invalid, or `null`. */
export function scriptProblem(content: string): string | null {
  if (content.trim() === '') return 'Enter a script.'
  const bytes = new TextEncoder().encode(content).length
  return bytes > MAX_BYTES ? `A script has at most 64 KiB; this one has ${bytes} bytes.` : null
}
