/** The form of a kind's settings, made of the JSON Schema that its plugin's manifest has. */

export interface SettingField {
  name: string
  label: string
  help: string | null
  /** The choices, where the schema lists the values. */
  choices: readonly string[] | null
  isBoolean: boolean
  isNumber: boolean
  /** A secret: it is sent apart from the settings and never shown again. */
  isSecret: boolean
  isRequired: boolean
  /** What an empty field stands for. */
  placeholder: string
  initial: string
}

type Json = Record<string, unknown>

const object = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
const text = (value: unknown): string | null =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : null

/** `session-token` becomes `Session token`. */
export function labelOf(name: string): string {
  const words = name.replaceAll(/[-_]+/g, ' ').trim()
  return words.charAt(0).toUpperCase() + words.slice(1)
}

/** Returns the label of a setting, also of one that the kind does not describe. */
export const labelIn = (fields: readonly SettingField[], name: string): string =>
  fields.find((field) => field.name === name)?.label ?? labelOf(name)

/** Returns the fields in the order that the schema asks for, else in its own. */
export function fieldsOf(schema: unknown): SettingField[] {
  const root = object(schema)
  const required = Array.isArray(root.required) ? root.required : []
  const entries = Object.entries(object(root.properties))
  const order = ([, property]: [string, unknown], index: number) => {
    const wanted = object(property)['x-order']
    return typeof wanted === 'number' ? wanted : 1000 + index
  }
  return entries
    .map((entry, index) => ({ entry, order: order(entry, index) }))
    .sort((one, other) => one.order - other.order)
    .map(({ entry: [name, value] }) => {
      const property = object(value)
      const values = Array.isArray(property.enum) ? property.enum.flatMap((one) => text(one) ?? []) : null
      const examples = Array.isArray(property.examples) ? property.examples : []
      const standard = text(property.default)
      const isBoolean = property.type === 'boolean'
      return {
        name,
        label: text(property.title) ?? labelOf(name),
        help: text(property.description),
        choices: values,
        isBoolean,
        isNumber: property.type === 'integer' || property.type === 'number',
        isSecret: property.writeOnly === true,
        isRequired: required.includes(name),
        placeholder: text(examples[0]) ?? standard ?? '',
        initial: isBoolean ? (standard ?? 'false') : (standard ?? values?.[0] ?? ''),
      }
    })
}

/**
 * Reads lines of `NAME=VALUE`, for a kind whose plugin does not say which settings it has. Returns
 * `null` for a line that is none.
 */
export function parseLines(typed: string): Record<string, string> | null {
  const settings: Record<string, string> = {}
  for (const line of typed.split('\n').map((text) => text.trim())) {
    if (line === '') continue
    const at = line.indexOf('=')
    if (at <= 0) return null
    settings[line.slice(0, at).trim()] = line.slice(at + 1).trim()
  }
  return settings
}

/** The values that are sent: empty ones stand for what the plugin does without them. */
export function valuesOf(
  fields: readonly SettingField[],
  typed: Readonly<Record<string, string>>,
): { settings: Record<string, string>; secrets: Record<string, string> } {
  const settings: Record<string, string> = {}
  const secrets: Record<string, string> = {}
  for (const field of fields) {
    const value = typed[field.name] ?? field.initial
    if (value === '') continue
    if (field.isSecret) secrets[field.name] = value
    else settings[field.name] = value
  }
  return { settings, secrets }
}
