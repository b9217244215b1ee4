/** The one client of the API: same origin, session cookie, answers or problems. */
import createClient from 'openapi-fetch'
import { parseProblem } from '@/lib/problem'
import type { paths } from './schema'

/** Every request carries the header that a cross-site form cannot send. */
export const client = createClient<paths>({ headers: { 'X-Imprint-Csrf': '1' } })

/** The answer's body; a refusal is thrown as a `Problem`. */
export async function answer<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await call
  if (!response.ok) throw parseProblem(error, response.status, response.headers.get('x-request-id'))
  return data as T
}
