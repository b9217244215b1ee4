import type { ReactNode } from 'react'
import { Button as AriaButton, type ButtonProps as AriaButtonProps } from 'react-aria-components'
import styles from './Button.module.css'
import { Hint } from './Hint'

export interface ButtonProps extends Omit<AriaButtonProps, 'children' | 'className'> {
  look?: 'primary' | 'plain' | 'quiet' | 'danger'
  icon?: ReactNode
  /** A request is under way; the button keeps its width and its name. */
  busy?: boolean
  /** Why it cannot be pressed: it is disabled, and says so to whoever points at it or reaches it by keyboard. */
  reason?: string | null
  children: ReactNode
}

export function Button(props: ButtonProps) {
  const { look = 'plain', icon, busy = false, reason, children, onPress, type, ...rest } = props
  const button = (
    <AriaButton
      {...rest}
      className={`${styles.button} ${styles[look]}`}
      isDisabled={(rest.isDisabled ?? false) || (reason != null && reason !== '')}
      // It keeps the focus while it is busy; pressing it again does nothing.
      {...(busy ? { type: 'button' } : { ...(type && { type }), ...(onPress && { onPress }) })}
    >
      {busy ? <span className={styles.spinner} aria-hidden="true" /> : icon}
      <span>{children}</span>
      {busy && <span className="visually-hidden">, working</span>}
    </AriaButton>
  )
  return reason ? <Hint text={reason}>{button}</Hint> : button
}

export interface IconButtonProps extends Omit<AriaButtonProps, 'children' | 'className'> {
  label: string
  icon: ReactNode
}

export function IconButton({ label, icon, ...rest }: IconButtonProps) {
  return (
    <AriaButton {...rest} aria-label={label} className={styles.icon}>
      {icon}
    </AriaButton>
  )
}
