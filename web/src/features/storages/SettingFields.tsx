import { type Problem, toSentence } from '@/lib/problem'
import { Checkbox, SelectField, TextField } from '@/ui/Field'
import type { SettingField } from './schema-fields'

export interface SettingFieldsProps {
  fields: readonly SettingField[]
  values: Readonly<Record<string, string>>
  onChange: (name: string, value: string) => void
  problemOf: (field: SettingField) => string | null
}

/** The fields of a kind's settings, as its schema describes them. Secrets can only be written. */
export function SettingFields({ fields, values, onChange, problemOf }: SettingFieldsProps) {
  return fields.map((field) => {
    const value = values[field.name] ?? field.initial
    const set = (next: string) => onChange(field.name, next)
    if (field.isBoolean) {
      return (
        <Checkbox
          key={field.name}
          label={field.label}
          {...(field.help ? { help: field.help } : {})}
          problem={problemOf(field)}
          isSelected={value === 'true'}
          onChange={(isSelected) => set(String(isSelected))}
        />
      )
    }
    if (field.choices) {
      return (
        <SelectField
          key={field.name}
          label={field.label}
          choices={field.choices.map((choice) => ({ id: choice, label: choice }))}
          value={value}
          onChange={set}
          help={field.help}
          problem={problemOf(field)}
        />
      )
    }
    return (
      <TextField
        key={field.name}
        label={field.label}
        value={value}
        onChange={set}
        placeholder={field.placeholder}
        help={field.help}
        problem={problemOf(field)}
        optional={!field.isRequired}
        {...(field.isSecret ? { type: 'password', autoComplete: 'off' } : {})}
        {...(field.isNumber ? { inputMode: 'decimal' as const } : {})}
      />
    )
  })
}

/** Returns what the server says of a setting. */
export function settingProblem(refusal: Problem | null, field: SettingField): string | null {
  const found = refusal?.field(`/${field.isSecret ? 'secrets' : 'settings'}/${field.name}`)
  return found ? toSentence(found) : null
}
