import { ProgressBar } from 'react-aria-components'
import styles from './Progress.module.css'

export interface ProgressProps {
  label: string
  /** 0 to 100; `null` while it is unknown. */
  percent: number | null
  tone?: 'busy' | 'good' | 'bad' | 'idle'
}

/** A progress bar that is drawn as cells. */
export function Progress({ label, percent, tone = 'busy' }: ProgressProps) {
  return (
    <ProgressBar
      className={`${styles.bar} ${styles[tone]}`}
      aria-label={label}
      value={percent ?? 0}
      isIndeterminate={percent === null}
    >
      <div
        className={percent === null ? styles.unknown : styles.fill}
        style={percent === null ? undefined : { width: `${percent}%` }}
      />
    </ProgressBar>
  )
}

export interface StepsProps {
  label: string
  steps: readonly string[]
  /** The index of the current step; `steps.length` after the last one. */
  current: number
  failed?: boolean
}

/** The phases of a task in order, with the current one marked. */
export function Steps({ label, steps, current, failed = false }: StepsProps) {
  return (
    <ol className={styles.steps} aria-label={label}>
      {steps.map((step, index) => {
        const state = index < current ? 'done' : index === current ? (failed ? 'failed' : 'now') : 'ahead'
        return (
          <li key={step} className={styles[state]} aria-current={state === 'now' ? 'step' : undefined}>
            <span className={styles.tick} aria-hidden="true" />
            {step}
            {state === 'done' && <span className="visually-hidden"> (done)</span>}
          </li>
        )
      })}
    </ol>
  )
}
