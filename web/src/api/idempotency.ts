import { useRef } from 'react'
import { randomKey } from '@/lib/random'

/**
 * Returns a function that gives each submitted body its idempotency key. The same body sent again,
 * after a lost response or a second click, is the same request for the server; a changed body is a
 * new one.
 */
export function useSubmissionKey(): (body: unknown) => string {
  const last = useRef({ body: '', key: '' })
  return (body) => {
    const text = JSON.stringify(body)
    if (last.current.body !== text) last.current = { body: text, key: randomKey() }
    return last.current.key
  }
}
