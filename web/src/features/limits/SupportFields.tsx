import type { AdminLocation, LocationPatch } from '@/api/types'
import { type Problem, toSentence } from '@/lib/problem'
import { TextField } from '@/ui/Field'

/** What is typed about the support of a location; nothing says nothing. */
export interface TypedSupport {
  support_text: string
  support_url: string
  status_url: string
}

export const typedSupport = (location: AdminLocation): TypedSupport => ({
  support_text: location.support_text ?? '',
  support_url: location.support_url ?? '',
  status_url: location.status_url ?? '',
})

const orNull = (typed: string) => typed.trim() || null

/** Returns what to send: `null` removes a text. */
export const supportPatch = (typed: TypedSupport): LocationPatch => ({
  support_text: orNull(typed.support_text),
  support_url: orNull(typed.support_url),
  status_url: orNull(typed.status_url),
})

export interface SupportFieldsProps {
  values: TypedSupport
  onChange: (patch: Partial<TypedSupport>) => void
  refusal: Problem | null
}

/** What failed captures say about the provider's support. */
export function SupportFields({ values, onChange, refusal }: SupportFieldsProps) {
  const said = (pointer: string) => {
    const text = refusal?.field(pointer)
    return text ? toSentence(text) : null
  }
  return (
    <>
      <TextField
        label="Support"
        optional
        placeholder="Call +49 30 1234, Monday to Friday"
        help="Shown with images that failed more than once or took too long."
        value={values.support_text}
        onChange={(support_text) => onChange({ support_text })}
        problem={said('/support_text')}
      />
      <TextField
        label="Page of the support"
        optional
        placeholder="https://support.example.com"
        value={values.support_url}
        onChange={(support_url) => onChange({ support_url })}
        problem={said('/support_url')}
      />
      <TextField
        label="Page of the system’s status"
        optional
        placeholder="https://status.example.com"
        value={values.status_url}
        onChange={(status_url) => onChange({ status_url })}
        problem={said('/status_url')}
      />
    </>
  )
}
