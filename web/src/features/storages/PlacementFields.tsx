import { FieldRow, TextField } from '@/ui/Field'

/** What is typed: a weight, and a number of GiB or nothing. */
export interface Placement {
  weight: string
  minFree: string
}

export interface PlacementFieldsProps {
  values: Placement
  onChange: (patch: Partial<Placement>) => void
  problems: Record<keyof Placement, string | null>
}

/** The fields that decide which of several storages takes a new image. */
export function PlacementFields({ values, onChange, problems }: PlacementFieldsProps) {
  return (
    <FieldRow>
      <TextField
        label="Weight"
        inputMode="numeric"
        help="How much it is preferred for new images, 0 to 1000. 0: only when asked for."
        value={values.weight}
        onChange={(weight) => onChange({ weight })}
        problem={problems.weight}
      />
      <TextField
        label="Nearly full below, GiB"
        inputMode="decimal"
        optional
        placeholder="5 %, at most 10"
        value={values.minFree}
        onChange={(minFree) => onChange({ minFree })}
        problem={problems.minFree}
      />
    </FieldRow>
  )
}
