/**
 * The panel's event stream. It writes what the server pushes into the query cache, so that every
 * page is live without polling. The browser reconnects and resumes a stream itself
 * (`Last-Event-ID`); when the server refuses it or a proxy breaks it, the panel polls and opens the
 * stream again after a growing pause.
 */
import type { QueryClient } from '@tanstack/react-query'
import { applyChange, invalidateLive, readStream, useConnection, writeStream } from './cache'
import { INITIAL, parseEvent, reduceStream, type StreamInput } from './events-reducer'

const URL =
  '/api/v1/events?types=task.*,image.*,instance.*,media_group.*,share.*,storage.*,iso.*,export.*,billing.*'
const KINDS = [
  'task.changed',
  'task.alert',
  'image.changed',
  'image.deleted',
  'instance.changed',
  'instance.deleted',
  'media_group.changed',
  'media_group.deleted',
  'share.changed',
  'share.deleted',
  'storage.changed',
  'storage.deleted',
  'iso.changed',
  'iso.deleted',
  'export.changed',
  'export.deleted',
  'billing.hours_metered',
  'billing.budget_reached',
  'billing.month_closed',
  'billing.rate_changed',
]

/** How often pages poll while the stream is broken. */
const POLL_MS = 3000
/** The pause before a refused stream is opened again; doubles from the first to the longest. */
const REOPEN_MS = { first: 2000, longest: 30_000 }
/** A page that has been hidden for this long closes its stream until it is visible again. */
const HIDDEN_MS = 60_000

/**
 * Returns the polling interval for things that change on the server: none while the stream is live.
 */
export function usePollInterval(): number | false {
  return useConnection() === 'broken' ? POLL_MS : false
}

/** Opens the stream for the signed-in account and returns the function that closes it. */
export function openStream(cache: QueryClient): () => void {
  let source: EventSource | null = null
  let reopenTimer: ReturnType<typeof setTimeout> | undefined
  let hiddenTimer: ReturnType<typeof setTimeout> | undefined
  let pause = REOPEN_MS.first

  const dispatch = (input: StreamInput): boolean => {
    const [next, effect] = reduceStream(readStream(cache), input)
    writeStream(cache, next)
    if (effect === 'refetch') invalidateLive(cache)
    return effect === 'apply'
  }

  const open = () => {
    source = new EventSource(URL)
    source.addEventListener('snapshot', (event) => {
      pause = REOPEN_MS.first
      dispatch({ type: 'snapshot', sequence: sequenceOf(event.data) })
    })
    source.addEventListener('reset', (event) => dispatch({ type: 'reset', sequence: sequenceOf(event.data) }))
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        const parsed = parseEvent(kind, event.data)
        if (parsed && dispatch({ type: 'change', sequence: parsed.sequence })) {
          applyChange(cache, parsed.change)
        }
      })
    }
    source.onopen = () => dispatch({ type: 'opened' })
    source.onerror = () => {
      dispatch({ type: 'failed' })
      if (source?.readyState !== EventSource.CLOSED) return
      reopenTimer = setTimeout(open, pause)
      pause = Math.min(pause * 2, REOPEN_MS.longest)
    }
  }

  // Browsers limit the connections to one server over all tabs: a hidden page releases its own.
  const followVisibility = () => {
    clearTimeout(hiddenTimer)
    if (document.visibilityState === 'hidden') {
      hiddenTimer = setTimeout(() => {
        clearTimeout(reopenTimer)
        source?.close()
        source = null
      }, HIDDEN_MS)
    } else if (source === null) {
      open()
    }
  }

  open()
  document.addEventListener('visibilitychange', followVisibility)
  return () => {
    document.removeEventListener('visibilitychange', followVisibility)
    clearTimeout(reopenTimer)
    clearTimeout(hiddenTimer)
    source?.close()
    writeStream(cache, INITIAL)
  }
}

function sequenceOf(data: string): number {
  try {
    const { sequence } = JSON.parse(data) as { sequence?: unknown }
    return typeof sequence === 'number' ? sequence : 0
  } catch {
    return 0
  }
}
