import type { AdminLocation } from '@/api/types'
import { GIB } from '@/lib/format'
import { parseGib } from '@/lib/typed'
import { FieldRow, TextField } from '@/ui/Field'

/** The bounds of Windows disks in GiB, as they are typed. */
export interface TypedWindows {
  limit: string
  warning: string
}

export const typedWindows = (location: AdminLocation): TypedWindows => ({
  limit: String(location.windows_limit_bytes / GIB),
  warning: String(location.windows_warning_bytes / GIB),
})

/** Returns why a number of GiB cannot be sent; it has to be one. */
function problemOf(typed: string): string | null {
  const { value, problem } = parseGib(typed)
  return problem ?? (value === null ? 'Enter a number of GiB, such as 160.' : null)
}

/** Returns the bounds that are typed in bytes, or `null` when one is not a number. */
export function parsedWindows(typed: TypedWindows): { limit: number; warning: number } | null {
  const [limit, warning] = [parseGib(typed.limit).value, parseGib(typed.warning).value]
  return limit === null || warning === null ? null : { limit, warning }
}

export interface WindowsFieldsProps {
  values: TypedWindows
  onChange: (patch: Partial<TypedWindows>) => void
  submitted: boolean
}

/** The bounds of Windows disks that images are created of. */
export function WindowsFields({ values, onChange, submitted }: WindowsFieldsProps) {
  return (
    <FieldRow>
      <TextField
        label="Largest Windows disk, GiB"
        inputMode="decimal"
        value={values.limit}
        onChange={(limit) => onChange({ limit })}
        help="No image is created of one that is or was larger."
        problem={submitted ? problemOf(values.limit) : null}
      />
      <TextField
        label="Notice from, GiB"
        inputMode="decimal"
        value={values.warning}
        onChange={(warning) => onChange({ warning })}
        help="Content from which on an image is recommended."
        problem={submitted ? problemOf(values.warning) : null}
      />
    </FieldRow>
  )
}
