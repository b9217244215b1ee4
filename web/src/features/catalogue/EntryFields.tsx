import type { MediaGroup } from '@/api/types'
import { type OsType, osChoices } from '@/lib/os-types'
import { Checkbox, FieldRow, SelectField, TextField } from '@/ui/Field'
import { type Entry, NONE } from './entry'

export interface EntryFieldsProps {
  values: Entry
  onChange: (patch: Partial<Entry>) => void
  groups: readonly MediaGroup[]
  /** Why a member of the request is invalid, by its pointer. */
  problemOf: (field: keyof Entry, pointer: string) => string | null
}

/** What customers read about a stock image, and where and whether it is offered. */
export function EntryFields({ values, onChange, groups, problemOf }: EntryFieldsProps) {
  return (
    <>
      <TextField
        label="Name"
        placeholder="Debian 12"
        value={values.name}
        onChange={(name) => onChange({ name })}
        problem={problemOf('name', '/name')}
      />
      <TextField
        label="Description"
        rows={2}
        optional
        help="Shown when an instance is created."
        value={values.description}
        onChange={(description) => onChange({ description })}
        problem={problemOf('description', '/description')}
      />
      <FieldRow>
        <SelectField
          label="Operating system"
          choices={osChoices}
          value={values.osType}
          onChange={(id) => onChange({ osType: id as OsType })}
        />
        <SelectField
          label="Media group"
          choices={[
            { id: NONE, label: 'None' },
            ...groups.map(({ id, label, hidden }) => ({ id, label: hidden ? `${label} (hidden)` : label })),
          ]}
          value={values.group}
          onChange={(group) => onChange({ group })}
          problem={problemOf('group', '/media_group_id')}
        />
      </FieldRow>
      <FieldRow>
        <TextField
          label="Family"
          optional
          placeholder="debian-12"
          help="The same for all versions of it."
          value={values.family}
          onChange={(family) => onChange({ family })}
          problem={problemOf('family', '/family')}
        />
        <TextField
          label="Version"
          optional
          placeholder="20241001"
          help="The highest one is the latest."
          value={values.version}
          onChange={(version) => onChange({ version })}
          problem={problemOf('version', '/family_version')}
        />
      </FieldRow>
      <Checkbox
        label="Supports cloud-init"
        help="Its system sets SSH keys and runs user scripts at the first boot."
        isSelected={values.cloudInit}
        onChange={(cloudInit) => onChange({ cloudInit })}
      />
      <Checkbox
        label="Hide from customers"
        help="Customers neither see nor deploy it."
        isSelected={values.hidden}
        onChange={(hidden) => onChange({ hidden })}
      />
    </>
  )
}
