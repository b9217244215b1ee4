/** The client of the API: same origin, session cookie. */
import createClient from 'openapi-fetch'
import { parseProblem } from '@/lib/problem'
import type { paths } from './schema'

/** Every request has a header that a cross-site form cannot send. */
export const client = createClient<paths>({ headers: { 'X-Imprint-Csrf': '1' } })

/** Returns the body of a successful response; throws any other response as a `Problem`. */
export async function unwrap<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await call
  if (!response.ok) throw parseProblem(error, response.status, response.headers.get('x-request-id'))
  return data as T
}
