/** Public SSH keys as they are pasted: one per line. */

const KEY =
  /^(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]+={0,3}( .*)?$/

export interface SshKeys {
  keys: string[]
  /** Why the keys are invalid, or `null`. */
  problem: string | null
}

export function parseSshKeys(text: string): SshKeys {
  const keys = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const invalid = keys.findIndex((key) => !KEY.test(key))
  if (invalid === -1) return { keys, problem: null }
  const isPrivate = keys[invalid]?.startsWith('-----BEGIN')
  return {
    keys: [],
    problem: isPrivate
      ? 'This is a private key. Paste the public one; its file ends in .pub.'
      : `Key ${invalid + 1} is not a public SSH key. Enter one key per line, such as "ssh-ed25519 AAAA… me@laptop".`,
  }
}
