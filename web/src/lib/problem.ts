/** What went wrong, as the API says it (RFC 9457), or as the panel says it where there is no API to answer. */

export interface FieldProblem {
  /** JSON pointer into the request: `/name`. */
  pointer: string
  detail: string
}

export class Problem extends Error {
  override name = 'Problem'

  constructor(
    /** HTTP status; 0 where no answer came. */
    readonly status: number,
    /** Stable code: `image_limit_reached`. */
    readonly code: string,
    /** Short text, verbatim from the server. */
    readonly title: string,
    /** What happened and what to do. */
    readonly detail: string,
    /** What support asks for. */
    readonly requestId: string | null = null,
    readonly retryable = false,
    readonly fields: readonly FieldProblem[] = [],
  ) {
    super(`${title}: ${detail}`)
  }

  /** What is wrong with one member of the request. */
  field(pointer: string): string | undefined {
    return this.fields.find((field) => field.pointer === pointer)?.detail
  }
}

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

/** Details start in lower case where the server says them as fragments; on the screen they are sentences. */
export function sentence(value: string): string {
  const trimmed = value.trim()
  if (trimmed === '') return ''
  // Ids, paths and names of programs keep their spelling.
  const startsWithWord = /^\p{Ll}+([\s,;:'’.]|$)/u.test(trimmed)
  const capital = startsWithWord ? trimmed.charAt(0).toUpperCase() + trimmed.slice(1) : trimmed
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`
}

/** Reads a body that should be problem details; whatever it is, the answer can be shown. */
export function parseProblem(body: unknown, status: number, requestId: string | null = null): Problem {
  const members: Record<string, unknown> = typeof body === 'object' && body !== null ? { ...body } : {}
  const fields = Array.isArray(members.errors)
    ? members.errors.flatMap((entry: unknown): FieldProblem[] => {
        const { pointer, detail } = (entry ?? {}) as { pointer?: unknown; detail?: unknown }
        return typeof pointer === 'string' && typeof detail === 'string' ? [{ pointer, detail }] : []
      })
    : []
  return new Problem(
    status,
    text(members.code) ?? 'unknown',
    text(members.title) ?? (status >= 500 ? 'Something went wrong on our side' : 'The request failed'),
    text(members.detail) ?? `The server answered with status ${status} and no further word.`,
    text(members.request_id) ?? requestId,
    members.retryable === true,
    fields,
  )
}

/** Anything that was thrown, as a problem. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof TypeError) {
    return new Problem(
      0,
      'unreachable',
      'The server cannot be reached',
      'Check the connection. The panel tries again by itself.',
      null,
      true,
    )
  }
  return new Problem(0, 'panel', 'Something went wrong in the panel', String(error))
}
