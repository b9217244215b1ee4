import { expect, test, vi } from 'vitest'
import { contentDigest, OtherFileError, type PartTransport, uploadParts } from './part-upload'

const PART = 10

/** A server that keeps parts, and fails as it is told. */
function server(size: number, failures: (part: number, attempt: number) => boolean = () => false) {
  const parts = new Map<number, string>()
  const attempts = new Map<number, number>()
  const count = Math.ceil(size / PART)
  const transport: PartTransport = {
    state: async () => {
      const missing = Array.from({ length: count }, (_, index) => index + 1).filter(
        (part) => !parts.has(part),
      )
      const received = [...parts.values()].reduce((sum, text) => sum + text.length, 0)
      return {
        size_bytes: size,
        received_bytes: received,
        part_size: PART,
        missing_parts: missing,
        complete: missing.length === 0,
      }
    },
    send: async (part, bytes, digest) => {
      const attempt = (attempts.get(part) ?? 0) + 1
      attempts.set(part, attempt)
      if (failures(part, attempt)) throw new Error('passing')
      expect(digest).toBe(await contentDigest(bytes))
      parts.set(part, await bytes.text())
    },
    isPassing: (error) => error instanceof Error && error.message === 'passing',
  }
  const content = () => Array.from({ length: count }, (_, index) => parts.get(index + 1)).join('')
  return { transport, parts, attempts, content }
}

const TEXT = 'a file with some parts, the last of them short'
const pause = async () => {}

test('all parts arrive, and progress ends with the size', async () => {
  const { transport, content } = server(TEXT.length)
  const onProgress = vi.fn()
  const signal = new AbortController().signal
  await uploadParts({ file: new Blob([TEXT]), transport, signal, onProgress, pause })
  expect(content()).toBe(TEXT)
  expect(onProgress.mock.calls.at(-1)).toEqual([TEXT.length])
})

test('only what is missing is sent', async () => {
  const { transport, parts, attempts, content } = server(TEXT.length)
  parts.set(1, TEXT.slice(0, PART)).set(3, TEXT.slice(2 * PART, 3 * PART))
  const signal = new AbortController().signal
  await uploadParts({ file: new Blob([TEXT]), transport, signal, onProgress: () => {}, pause })
  expect(content()).toBe(TEXT)
  expect([...attempts.keys()].sort()).toEqual([2, 4, 5])
})

test('a failure that passes is tried again, and one that does not ends it', async () => {
  const passing = server(TEXT.length, (_, attempt) => attempt < 3)
  const signal = new AbortController().signal
  const file = new Blob([TEXT])
  await uploadParts({ file, transport: passing.transport, signal, onProgress: () => {}, pause })
  expect(passing.content()).toBe(TEXT)
  const lasting = server(TEXT.length, (part) => part === 2)
  const upload = uploadParts({ file, transport: lasting.transport, signal, onProgress: () => {}, pause })
  await expect(upload).rejects.toThrow('passing')
  expect(lasting.attempts.get(2)).toBe(8)
})

test('another file is refused before anything is sent', async () => {
  const { transport, attempts } = server(TEXT.length)
  const signal = new AbortController().signal
  const upload = uploadParts({ file: new Blob(['other']), transport, signal, onProgress: () => {}, pause })
  await expect(upload).rejects.toBeInstanceOf(OtherFileError)
  expect(attempts.size).toBe(0)
})

test('a paused upload sends nothing more', async () => {
  const controller = new AbortController()
  const { transport, attempts } = server(TEXT.length, (part) => {
    if (part === 1) controller.abort(new Error('paused'))
    return part === 1
  })
  const file = new Blob([TEXT])
  const upload = uploadParts({ file, transport, signal: controller.signal, onProgress: () => {}, pause })
  await expect(upload).rejects.toThrow()
  expect(attempts.size).toBeLessThan(5)
})
