import { ChevronLeft, ChevronRight } from 'lucide-react'
import { Button } from './Button'
import styles from './Pager.module.css'

export interface PagerProps {
  label: string
  /** What is shown, such as `1 to 100 of 2,000`. */
  children: string
  /** Shows the previous page; `null` on the first one. */
  onPrevious: (() => void) | null
  onNext: (() => void) | null
  busy: boolean
}

/** The buttons below a table that is too long to load as a whole. */
export function Pager({ label, children, onPrevious, onNext, busy }: PagerProps) {
  return (
    <nav className={styles.pager} aria-label={label}>
      <p aria-live="polite">{children}</p>
      <Button
        icon={<ChevronLeft />}
        reason={onPrevious ? null : 'This is the first page.'}
        onPress={() => onPrevious?.()}
      >
        Previous
      </Button>
      <Button
        icon={<ChevronRight />}
        busy={busy}
        reason={onNext ? null : 'This is the last page.'}
        onPress={() => onNext?.()}
      >
        Next
      </Button>
    </nav>
  )
}
