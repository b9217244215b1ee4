import { Search } from 'lucide-react'
import { type ReactNode, useEffect, useId, useRef, useState } from 'react'
import styles from './Filter.module.css'

/** The row of filters above a table. */
export function FilterBar({ children }: { children: ReactNode }) {
  return <div className={styles.bar}>{children}</div>
}

export interface SearchBoxProps {
  label: string
  value: string
  onChange: (value: string) => void
}

export function SearchBox({ label, value, onChange }: SearchBoxProps) {
  const id = useId()
  return (
    <div className={styles.search}>
      <label htmlFor={id} className="visually-hidden">
        {label}
      </label>
      <Search aria-hidden="true" />
      <input
        id={id}
        type="search"
        className={styles.control}
        placeholder={label}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </div>
  )
}

/** How long typing has to pause before the server searches, in milliseconds. */
const PAUSE_MS = 250

/** A search box whose value is reported when typing pauses, and at once when it is cleared. */
export function DebouncedSearchBox({ label, value, onChange }: SearchBoxProps) {
  const [typed, setTyped] = useState(value)
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  const reported = useRef(value)
  const report = (text: string) => {
    clearTimeout(timer.current)
    reported.current = text
    onChange(text)
  }
  useEffect(() => {
    // Another value than the one that was reported comes from elsewhere: a link, or Back.
    if (value === reported.current) return
    clearTimeout(timer.current)
    reported.current = value
    setTyped(value)
  }, [value])
  useEffect(() => () => clearTimeout(timer.current), [])
  return (
    <SearchBox
      label={label}
      value={typed}
      onChange={(text) => {
        setTyped(text)
        clearTimeout(timer.current)
        if (text === '') report(text)
        else timer.current = setTimeout(() => report(text), PAUSE_MS)
      }}
    />
  )
}

export interface SelectBoxProps<T extends string> {
  label: string
  /** The label of the entry that does not filter; without it there is none. */
  any?: string
  choices: readonly { id: T; label: string }[]
  value: T | undefined
  onChange: (value: T | undefined) => void
}

export function SelectBox<T extends string>({ label, any, choices, value, onChange }: SelectBoxProps<T>) {
  const id = useId()
  return (
    <div>
      <label htmlFor={id} className="visually-hidden">
        {label}
      </label>
      <select
        id={id}
        className={styles.control}
        value={value ?? ''}
        onChange={(event) => onChange(choices.find((choice) => choice.id === event.target.value)?.id)}
      >
        {any && <option value="">{any}</option>}
        {choices.map((choice) => (
          <option key={choice.id} value={choice.id}>
            {choice.label}
          </option>
        ))}
      </select>
    </div>
  )
}
