import type { AdminLocation } from '@/api/types'
import { GIB } from '@/lib/format'
import { parseGib } from '@/lib/typed'
import { Checkbox, FieldRow, SelectField, TextField } from '@/ui/Field'

const PROFILES = [
  { id: 'any', label: 'Any disk format' },
  { id: 'strict_vhd', label: 'Single VHD files only' },
]

/** What a location imports, as it is typed. */
export interface TypedImports {
  enabled: boolean
  profile: string
  /** The largest disk in GiB. */
  limit: string
  windows: boolean
}

export const typedImports = (location: AdminLocation): TypedImports => ({
  enabled: location.import_enabled,
  profile: location.import_profile,
  limit: String(location.import_limit_bytes / GIB),
  windows: location.import_windows,
})

function limitProblem(typed: string): string | null {
  const { value, problem } = parseGib(typed)
  return problem ?? (value === null ? 'Enter a number of GiB, such as 160.' : null)
}

/** Returns what is sent, or `null` when the limit is not a number. */
export function parsedImports(typed: TypedImports) {
  const { value } = parseGib(typed.limit)
  if (value === null || limitProblem(typed.limit)) return null
  return {
    import_enabled: typed.enabled,
    import_profile: typed.profile as AdminLocation['import_profile'],
    import_limit_bytes: value,
    import_windows: typed.windows,
  }
}

export interface ImportFieldsProps {
  values: TypedImports
  onChange: (patch: Partial<TypedImports>) => void
  submitted: boolean
}

/** Whether customers import images, and which. */
export function ImportFields({ values, onChange, submitted }: ImportFieldsProps) {
  return (
    <>
      <Checkbox
        label="Customers import images"
        help="Without it nothing is uploaded or fetched. Imported images stay."
        isSelected={values.enabled}
        onChange={(enabled) => onChange({ enabled })}
      />
      <FieldRow>
        <SelectField
          label="Imported files"
          choices={PROFILES}
          value={values.profile}
          onChange={(profile) => onChange({ profile })}
        />
        <TextField
          label="Largest imported disk, GiB"
          inputMode="decimal"
          value={values.limit}
          onChange={(limit) => onChange({ limit })}
          problem={submitted ? limitProblem(values.limit) : null}
        />
      </FieldRow>
      <Checkbox
        label="Windows may be imported"
        help="Its licences often do not move with a disk."
        isSelected={values.windows}
        onChange={(windows) => onChange({ windows })}
      />
    </>
  )
}
