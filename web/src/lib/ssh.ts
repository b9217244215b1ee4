/** Public SSH keys as people paste them: one a line. */

const KEY =
  /^(ssh-(ed25519|rsa|dss)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]+={0,3}( .*)?$/

export interface SshKeys {
  keys: string[]
  /** What is wrong with them. */
  problem: string | null
}

export function parseSshKeys(text: string): SshKeys {
  const keys = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const wrong = keys.findIndex((key) => !KEY.test(key))
  if (wrong === -1) return { keys, problem: null }
  const isPrivate = keys[wrong]?.startsWith('-----BEGIN')
  return {
    keys: [],
    problem: isPrivate
      ? 'This is a private key. Paste the public one; its file ends in .pub.'
      : `Key ${wrong + 1} is not a public SSH key. One a line, such as "ssh-ed25519 AAAA… me@laptop".`,
  }
}
