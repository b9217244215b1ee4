import { Check, ChevronDown } from 'lucide-react'
import type { ReactNode } from 'react'
import {
  Checkbox as AriaCheckbox,
  TextField as AriaTextField,
  type TextFieldProps as AriaTextFieldProps,
  Button,
  FieldError,
  Input,
  Label,
  ListBox,
  ListBoxItem,
  Popover,
  Select,
  SelectValue,
  Text,
  TextArea,
} from 'react-aria-components'
import styles from './Field.module.css'

export interface TextFieldProps extends Omit<AriaTextFieldProps, 'children' | 'className'> {
  label: string
  placeholder?: string
  help?: ReactNode
  /** Why the value is invalid. */
  problem?: string | null
  /** The number of lines; a single-line field without it. */
  rows?: number
  mono?: boolean
  optional?: boolean
}

export function TextField({
  label,
  placeholder,
  help,
  problem,
  rows,
  mono,
  optional,
  ...rest
}: TextFieldProps) {
  const control = `${styles.control} ${mono ? styles.mono : ''}`
  return (
    <AriaTextField {...rest} className={styles.field} isInvalid={problem != null} validationBehavior="aria">
      <FieldLabel label={label} optional={optional} />
      {rows ? (
        <TextArea className={control} rows={rows} placeholder={placeholder} spellCheck={!mono} />
      ) : (
        <Input className={control} placeholder={placeholder} />
      )}
      {help && !problem && (
        <Text slot="description" className={styles.help}>
          {help}
        </Text>
      )}
      <FieldError className={styles.problem}>{problem}</FieldError>
    </AriaTextField>
  )
}

function FieldLabel({ label, optional }: { label: string; optional?: boolean | undefined }) {
  return (
    <Label className={styles.label}>
      {label}
      {optional && <span className={styles.optional}> optional</span>}
    </Label>
  )
}

export interface Choice {
  id: string
  label: string
  detail?: string
}

export interface SelectFieldProps {
  label: string
  choices: readonly Choice[]
  value: string
  onChange: (id: string) => void
  help?: ReactNode
  /** Why the choice is invalid. */
  problem?: string | null
}

export function SelectField({ label, choices, value, onChange, help, problem }: SelectFieldProps) {
  return (
    <Select
      className={styles.field}
      value={value}
      onChange={(key) => key != null && onChange(String(key))}
      isInvalid={problem != null}
      validationBehavior="aria"
    >
      <FieldLabel label={label} />
      <Button className={`${styles.control} ${styles.select}`}>
        <SelectValue className={styles.selected}>
          {({ selectedText }) => selectedText || 'Choose'}
        </SelectValue>
        <ChevronDown aria-hidden="true" />
      </Button>
      {help && !problem && (
        <Text slot="description" className={styles.help}>
          {help}
        </Text>
      )}
      <FieldError className={styles.problem}>{problem}</FieldError>
      <Popover className={styles.popover} offset={4}>
        <ListBox className={styles.list} items={choices}>
          {(choice) => (
            <ListBoxItem className={styles.option} textValue={choice.label}>
              {({ isSelected }) => (
                <>
                  <span className={styles.optionText}>
                    <Text slot="label">{choice.label}</Text>
                    {choice.detail && (
                      <Text slot="description" className={styles.help}>
                        {choice.detail}
                      </Text>
                    )}
                  </span>
                  {isSelected && <Check aria-hidden="true" />}
                </>
              )}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </Select>
  )
}

export interface CheckboxProps {
  label: string
  help?: string
  /** Why the choice is invalid. */
  problem?: string | null
  isSelected: boolean
  onChange: (selected: boolean) => void
}

export function Checkbox({ label, help, problem, isSelected, onChange }: CheckboxProps) {
  return (
    <AriaCheckbox
      className={styles.checkbox}
      isSelected={isSelected}
      onChange={onChange}
      isInvalid={problem != null}
    >
      <span className={styles.box} aria-hidden="true">
        <Check />
      </span>
      <span>
        {label}
        {help && !problem && <span className={styles.checkHelp}>{help}</span>}
        {problem && <span className={styles.checkProblem}>{problem}</span>}
      </span>
    </AriaCheckbox>
  )
}

/** Several checkboxes under one label. */
export function CheckboxGroup({ label, children }: { label: string; children: ReactNode }) {
  return (
    <fieldset className={styles.group}>
      <legend className={styles.label}>{label}</legend>
      {children}
    </fieldset>
  )
}

/** Fields side by side where the width allows. */
export function FieldRow({ children }: { children: ReactNode }) {
  return <div className={styles.row}>{children}</div>
}
