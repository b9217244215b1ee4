/**
 * Uploads of files in parts, several at once. What the server has is asked for at the beginning, so
 * that an upload goes on after a pause, a reload of the page or a lost connection.
 */

/** The state of an upload, as the server tells it. */
export interface ServerState {
  size_bytes: number
  received_bytes: number
  part_size: number
  missing_parts: number[]
  complete: boolean
}

/** How the server is reached. Both throw what the server refuses. */
export interface PartTransport {
  state: (signal: AbortSignal) => Promise<ServerState>
  send: (part: number, bytes: Blob, digest: string | null, signal: AbortSignal) => Promise<void>
  /** Returns whether sending again may help. */
  isPassing: (error: unknown) => boolean
}

export interface PartUploadOptions {
  file: Blob
  transport: PartTransport
  signal: AbortSignal
  /** Called with the bytes that have arrived. */
  onProgress: (received: number) => void
  /** Waits between two attempts; the tests do not. */
  pause?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** The file that is sent is not the one that the upload was begun with. */
export class OtherFileError extends Error {}

const AT_ONCE = 3
const ATTEMPTS = 8
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 15_000

/** Sends what the server does not have yet, and resolves when it has everything. */
export async function uploadParts(options: PartUploadOptions): Promise<void> {
  const { file, signal, onProgress } = options
  let state = await patiently(options, () => options.transport.state(signal))
  if (state.size_bytes !== file.size) throw new OtherFileError()
  while (!state.complete) {
    let received = state.received_bytes
    onProgress(received)
    const queue = [...state.missing_parts]
    const { part_size } = state
    const sendQueued = async () => {
      for (let part = queue.shift(); part !== undefined; part = queue.shift()) {
        const number = part
        const bytes = file.slice((number - 1) * part_size, Math.min(number * part_size, file.size))
        const digest = await contentDigest(bytes)
        await patiently(options, () => options.transport.send(number, bytes, digest, signal))
        received += bytes.size
        onProgress(Math.min(received, file.size))
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, sendQueued))
    state = await patiently(options, () => options.transport.state(signal))
  }
  onProgress(file.size)
}

/** Repeats a call while its failure may pass. */
async function patiently<T>(options: PartUploadOptions, call: () => Promise<T>): Promise<T> {
  const { signal, transport, pause = waitFor } = options
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted()
    try {
      return await call()
    } catch (error) {
      if (signal.aborted || attempt >= ATTEMPTS || !transport.isPassing(error)) throw error
      await pause(Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS), signal)
    }
  }
}

function waitFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    })
  })
}

/**
 * Returns the digest of a part for `Content-Digest` (RFC 9530), or `null` where the browser computes
 * none: on pages that came through plain http.
 */
export async function contentDigest(bytes: Blob): Promise<string | null> {
  if (!globalThis.crypto?.subtle) return null
  const digest = await crypto.subtle.digest('SHA-256', await bytes.arrayBuffer())
  const text = Array.from(new Uint8Array(digest), (byte) => String.fromCharCode(byte)).join('')
  return `sha-256=:${btoa(text)}:`
}
