/**
 * The uploads of this browser. They go on while pages change; after a reload of the page, the same
 * file has to be chosen again, and what the server has is not sent a second time.
 */
import { useSyncExternalStore } from 'react'
import { OtherFileError, type PartTransport, type ServerState, uploadParts } from '@/lib/part-upload'
import { type Problem, parseProblem } from '@/lib/problem'
import { client, unwrap } from './client'

export interface Upload {
  imageId: string
  /** The name of the image. */
  name: string
  fileName: string
  size: number
  received: number
  /** `waiting`: the page was reloaded, and the file has to be chosen again. */
  state: 'sending' | 'paused' | 'waiting' | 'failed'
  /** Bytes per second. */
  rate: number | null
  problem: string | null
}

const KEPT = 'imprint.uploads'
/** How far back the rate looks, in milliseconds. */
const RATE_WINDOW = 10_000

interface Running {
  file: File | null
  controller: AbortController | null
  samples: { at: number; received: number }[]
}

let uploads: readonly Upload[] = restored()
const running = new Map<string, Running>()
const listeners = new Set<() => void>()

/** Returns the uploads that a page which was reloaded had. */
function restored(): Upload[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEPT) ?? '[]')
    if (!Array.isArray(kept)) return []
    return kept.filter(isKept).map((one) => ({ ...one, state: 'waiting', rate: null, problem: null }))
  } catch {
    return []
  }
}

type Kept = Pick<Upload, 'imageId' | 'name' | 'fileName' | 'size' | 'received'>

function isKept(value: unknown): value is Kept {
  if (typeof value !== 'object' || value === null) return false
  const { imageId, name, fileName, size, received } = value as Record<string, unknown>
  const texts = [imageId, name, fileName].every((text) => typeof text === 'string')
  return texts && typeof size === 'number' && typeof received === 'number'
}

function change(next: readonly Upload[]): void {
  uploads = next
  const kept = uploads.map(({ imageId, name, fileName, size, received }) => ({
    imageId,
    name,
    fileName,
    size,
    received,
  }))
  try {
    localStorage.setItem(KEPT, JSON.stringify(kept))
  } catch {
    // Without a place to keep them, uploads are forgotten with the page.
  }
  for (const listener of listeners) listener()
}

const patch = (imageId: string, values: Partial<Upload>): void =>
  change(uploads.map((upload) => (upload.imageId === imageId ? { ...upload, ...values } : upload)))

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** The uploads of this browser, oldest first. */
export const useUploads = (): readonly Upload[] => useSyncExternalStore(subscribe, () => uploads)

/** Begins to send a file to an image that was created for it. */
export function startUpload(image: { id: string; name: string }, file: File): void {
  const upload: Upload = {
    imageId: image.id,
    name: image.name,
    fileName: file.name,
    size: file.size,
    received: 0,
    state: 'sending',
    rate: null,
    problem: null,
  }
  change([...uploads.filter((other) => other.imageId !== image.id), upload])
  void send(image.id, file)
}

/** Stops to send; what has arrived stays. */
export function pauseUpload(imageId: string): void {
  running.get(imageId)?.controller?.abort()
  patch(imageId, { state: 'paused', rate: null })
}

/** Continues, with the file that was chosen again after a reload. */
export function resumeUpload(imageId: string, chosen?: File): void {
  const file = chosen ?? running.get(imageId)?.file
  if (!file) {
    patch(imageId, { state: 'waiting' })
    return
  }
  patch(imageId, { state: 'sending', problem: null })
  void send(imageId, file)
}

/** Forgets an upload, and cancels its import if it is still there. */
export async function cancelUpload(imageId: string): Promise<void> {
  running.get(imageId)?.controller?.abort()
  forgetUpload(imageId)
  await client.DELETE('/api/v1/images/{id}/upload', { params: { path: { id: imageId } } })
}

/** Forgets an upload whose import is over. */
export function forgetUpload(imageId: string): void {
  running.delete(imageId)
  change(uploads.filter((upload) => upload.imageId !== imageId))
}

async function send(imageId: string, file: File): Promise<void> {
  const controller = new AbortController()
  const own: Running = { file, controller, samples: [] }
  running.get(imageId)?.controller?.abort()
  running.set(imageId, own)
  const onProgress = (received: number) => {
    const now = Date.now()
    own.samples = [...own.samples, { at: now, received }].filter(({ at }) => now - at <= RATE_WINDOW)
    patch(imageId, { received, rate: rateOf(own.samples) })
  }
  try {
    await uploadParts({ file, transport: transportOf(imageId), signal: controller.signal, onProgress })
    forgetUpload(imageId)
  } catch (error) {
    if (controller.signal.aborted) return
    if (isOver(error)) {
      // The image and its task say how it ended.
      forgetUpload(imageId)
      return
    }
    if (error instanceof OtherFileError) {
      patch(imageId, {
        state: 'waiting',
        rate: null,
        problem:
          'This is another file: it does not have the size of the one that the upload was started with.',
      })
      return
    }
    patch(imageId, { state: 'failed', rate: null, problem: sentenceOf(error) })
  }
}

/** Returns the bytes per second between the first and the last sample. */
export function rateOf(samples: readonly { at: number; received: number }[]): number | null {
  const [first, last] = [samples[0], samples.at(-1)]
  if (!first || !last || last.at - first.at < 500) return null
  return ((last.received - first.received) * 1000) / (last.at - first.at)
}

function sentenceOf(error: unknown): string {
  const problem = error as Partial<Problem>
  return typeof problem.detail === 'string' && problem.detail
    ? problem.detail
    : 'the connection was lost; continue when it is back'
}

function transportOf(imageId: string): PartTransport {
  const path = { id: imageId }
  return {
    state: (signal): Promise<ServerState> =>
      unwrap(client.GET('/api/v1/images/{id}/upload', { params: { path }, signal })),
    send: async (number, bytes, digest, signal) => {
      const response = await fetch(`/api/v1/images/${imageId}/upload/parts/${number}`, {
        method: 'PUT',
        headers: {
          'Content-Type': 'application/octet-stream',
          'X-Imprint-Csrf': '1',
          ...(digest ? { 'Content-Digest': digest } : {}),
        },
        body: bytes,
        signal,
      })
      if (response.ok) return
      const body: unknown = await response.json().catch(() => null)
      throw parseProblem(body, response.status, response.headers.get('x-request-id'))
    },
    isPassing: (error) => {
      const { status } = error as Partial<Problem>
      // A part that was damaged on its way is sent again.
      return typeof status !== 'number' || status >= 500 || status === 429 || isDamaged(error)
    },
  }
}

const hasCode = (error: unknown, code: string): boolean => (error as { code?: unknown }).code === code

const isDamaged = (error: unknown): boolean => hasCode(error, 'digest_mismatch')

/** Whether the import has ended without success, and takes no more of its file. */
export const isOver = (error: unknown): boolean => hasCode(error, 'invalid_transition')
