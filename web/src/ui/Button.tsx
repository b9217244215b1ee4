import type { ReactNode } from 'react'
import { Button as AriaButton, type ButtonProps as AriaButtonProps } from 'react-aria-components'
import styles from './Button.module.css'
import { Hint } from './Hint'

export interface ButtonProps extends Omit<AriaButtonProps, 'children' | 'className'> {
  variant?: 'primary' | 'plain' | 'quiet' | 'danger'
  icon?: ReactNode
  /** A request is in progress; the button keeps its width and its name. */
  busy?: boolean
  /** Why the button is disabled, shown on hover and on keyboard focus. */
  reason?: string | null
  children: ReactNode
}

export function Button(props: ButtonProps) {
  const { variant = 'plain', icon, busy = false, reason, children, onPress, type, ...rest } = props
  const button = (
    <AriaButton
      {...rest}
      className={`${styles.button} ${styles[variant]}`}
      isDisabled={(rest.isDisabled ?? false) || (reason != null && reason !== '')}
      // A busy button stays enabled, so that it keeps the focus; pressing it does nothing.
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
