import { GIB } from '@/lib/format'
import type { Problem } from '@/lib/problem'
import { toSentence } from '@/lib/problem'
import { parseGib } from '@/lib/typed'
import { FieldRow, TextField } from '@/ui/Field'
import { parseImages } from './numbers'

/** What is typed: a number of images, and a number of GiB; nothing is no limit. */
export interface TypedLimits {
  images: string
  gib: string
}

export const typedLimits = (images: number | null, bytes: number | null): TypedLimits => ({
  images: images === null ? '' : String(images),
  gib: bytes === null ? '' : String(bytes / GIB),
})

/** Returns the limits that are typed, or `null` when one is not a number. */
export function parsedLimits(typed: TypedLimits): { images: number | null; bytes: number | null } | null {
  const images = parseImages(typed.images)
  const bytes = parseGib(typed.gib)
  return images.problem || bytes.problem ? null : { images: images.value, bytes: bytes.value }
}

export interface LimitFieldsProps {
  values: TypedLimits
  onChange: (patch: Partial<TypedLimits>) => void
  submitted: boolean
  refusal: Problem | null
  /** Where the server says what is wrong with each. */
  pointers: { images: string; bytes: string }
  /** What holds without a limit. */
  without: string
}

/** The fields of the limits of images. */
export function LimitFields({ values, onChange, submitted, refusal, pointers, without }: LimitFieldsProps) {
  const said = (pointer: string) => {
    const text = refusal?.field(pointer)
    return text ? toSentence(text) : null
  }
  return (
    <FieldRow>
      <TextField
        label="Most images"
        inputMode="numeric"
        optional
        placeholder={without}
        value={values.images}
        onChange={(images) => onChange({ images })}
        problem={(submitted ? parseImages(values.images).problem : null) ?? said(pointers.images)}
      />
      <TextField
        label="Most GiB of images"
        inputMode="decimal"
        optional
        placeholder={without}
        value={values.gib}
        onChange={(gib) => onChange({ gib })}
        problem={(submitted ? parseGib(values.gib).problem : null) ?? said(pointers.bytes)}
      />
    </FieldRow>
  )
}
