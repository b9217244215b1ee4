import type { ReactNode } from 'react'
import { Hint } from './Hint'
import styles from './Status.module.css'

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'idle'

/** A state in one word with a coloured dot; the hint explains it on hover and focus. */
export function Status({ tone, children, hint }: { tone: Tone; children: ReactNode; hint?: string }) {
  const badge = (
    <span className={`${styles.status} ${styles[tone]}`}>
      <span className={styles.dot} aria-hidden="true" />
      {children}
    </span>
  )
  return hint ? <Hint text={hint}>{badge}</Hint> : badge
}
