/** What is typed about an import, and what is wrong with it. */

export const FORMATS = [
  { id: 'detect', label: 'Recognise it' },
  { id: 'raw', label: 'raw', detail: 'The bytes of the disk; needed for a disk without partitions' },
  { id: 'qcow2', label: 'qcow2' },
  { id: 'vhd', label: 'VHD' },
  { id: 'vhdx', label: 'VHDX' },
  { id: 'vmdk', label: 'VMDK' },
  { id: 'vdi', label: 'VDI' },
  { id: 'ova', label: 'OVA' },
]

/** Returns why an address cannot be sent. */
export function urlProblem(typed: string): string | null {
  try {
    const { protocol, host } = new URL(typed.trim())
    if (host && (protocol === 'http:' || protocol === 'https:')) return null
  } catch {
    // Not an address at all.
  }
  return 'Enter the address of the file, which begins with https:// or http://.'
}

const DIGITS: Record<string, number> = { md5: 32, sha256: 64, sha512: 128 }

/** Returns why a digest cannot be sent; nothing stands for none. */
export function digestProblem(typed: string): string | null {
  const text = typed.trim().toLowerCase()
  if (text === '') return null
  const [name = '', digits = ''] = text.split(':')
  if (DIGITS[name] === digits.length && /^[0-9a-f]+$/.test(digits)) return null
  return 'Enter sha256:, sha512: or md5: and all of its digits.'
}

const lines = (typed: string) =>
  typed
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean)

/** Returns why header fields cannot be sent. */
export function headersProblem(typed: string): string | null {
  const wrong = lines(typed).find((line) => !/^[A-Za-z0-9._-]+:\s*\S/.test(line))
  return wrong ? 'Write each line as Name: value.' : null
}

/** Reads header fields, one in each line. */
export function parseHeaders(typed: string): Record<string, string> {
  const fields = lines(typed).map((line) => {
    const at = line.indexOf(':')
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()] as const
  })
  return Object.fromEntries(fields)
}

/** Returns why the address of another Imprint cannot be sent. */
export function serverProblem(typed: string): string | null {
  try {
    const { protocol, host, username, search, hash } = new URL(typed.trim())
    const isPlain = !username && !search && !hash
    if (host && isPlain && (protocol === 'http:' || protocol === 'https:')) return null
  } catch {
    // Not an address at all.
  }
  return 'Enter the address of the other panel, such as https://cloud.example.com.'
}

/** Returns why the id of an image cannot be sent. */
export const imageIdProblem = (typed: string): string | null =>
  /^img_[0-9a-f-]{36}$/.test(typed.trim()) ? null : 'Enter the id of the image, which begins with img_.'
