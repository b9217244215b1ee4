/** Problem details of the API (RFC 9457), and the panel's own problems where no response came. */

export interface FieldProblem {
  /** JSON pointer into the request: `/name`. */
  pointer: string
  detail: string
}

export class Problem extends Error {
  override name = 'Problem'

  constructor(
    /** The HTTP status; 0 when no response came. */
    readonly status: number,
    /** The stable code, such as `image_limit_reached`. */
    readonly code: string,
    /** A short text, verbatim from the server. */
    readonly title: string,
    /** What happened and what to do. */
    readonly detail: string,
    /** The id of the request, which support asks for. */
    readonly requestId: string | null = null,
    readonly retryable = false,
    readonly fields: readonly FieldProblem[] = [],
  ) {
    super(`${title}: ${detail}`)
  }

  /** Returns what is wrong with one member of the request. */
  field(pointer: string): string | undefined {
    return this.fields.find((field) => field.pointer === pointer)?.detail
  }

  /** Returns what is wrong with one member of the request, or with an item of it. */
  within(pointer: string): string | undefined {
    return this.fields.find((field) => field.pointer === pointer || field.pointer.startsWith(`${pointer}/`))
      ?.detail
  }
}

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

/** Turns the server's lowercase fragments into sentences with a capital letter and a full stop. */
export function toSentence(value: string): string {
  const trimmed = value.trim()
  if (trimmed === '') return ''
  // Ids, paths and program names keep their spelling.
  const startsWithWord = /^\p{Ll}+([\s,;:'’.]|$)/u.test(trimmed)
  const capital = startsWithWord ? trimmed.charAt(0).toUpperCase() + trimmed.slice(1) : trimmed
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`
}

/** Reads a body that should be problem details; any other body becomes a general problem. */
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
    text(members.title) ??
      (status >= 500 ? 'The server could not complete the request' : 'The server refused the request'),
    text(members.detail) ?? `the server responded with status ${status} and no explanation`,
    text(members.request_id) ?? requestId,
    members.retryable === true,
    fields,
  )
}

/** Returns anything that was thrown as a problem. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  if (error instanceof TypeError) {
    return new Problem(
      0,
      'unreachable',
      'The server cannot be reached',
      'check your connection, then try again',
      null,
      true,
    )
  }
  return new Problem(0, 'panel', 'The panel has a fault', String(error))
}

/** Returns a problem that no field of a form shows; `null` for one that names fields. */
export function unplaced(problem: Problem | null): Problem | null {
  return problem && problem.fields.length === 0 ? problem : null
}
