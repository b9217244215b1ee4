import { X } from 'lucide-react'
import type { FormEvent, ReactNode } from 'react'
import { Dialog as AriaDialog, Heading, Modal, ModalOverlay } from 'react-aria-components'
import { Button, IconButton } from './Button'
import styles from './Dialog.module.css'
import { ProblemNotice, type ShownProblem } from './Notice'

export interface DialogProps {
  title: string
  icon?: ReactNode
  isOpen: boolean
  onClose: () => void
  role?: 'dialog' | 'alertdialog'
  children: ReactNode
}

/**
 * A modal dialog. Escape and a click outside close it; then the previous element gets the focus.
 */
export function Dialog({ title, icon, isOpen, onClose, role = 'dialog', children }: DialogProps) {
  return (
    <ModalOverlay
      className={styles.overlay}
      isOpen={isOpen}
      onOpenChange={(open) => !open && onClose()}
      isDismissable={role === 'dialog'}
    >
      <Modal className={styles.modal}>
        <AriaDialog className={styles.dialog} role={role}>
          <div className={styles.head}>
            {icon}
            <Heading slot="title" level={2} className={styles.title}>
              {title}
            </Heading>
            <IconButton label="Close" icon={<X />} onPress={onClose} />
          </div>
          {children}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  )
}

/** What a dialog without a form shows. */
export function DialogBody({ children }: { children: ReactNode }) {
  return <div className={styles.body}>{children}</div>
}

/** The row of buttons at the end of a dialog. */
export function DialogActions({ children }: { children: ReactNode }) {
  return <div className={styles.actions}>{children}</div>
}

export interface FormDialogProps {
  title: string
  onClose: () => void
  onSubmit: (event: FormEvent<HTMLFormElement>) => void
  /** What the button says that submits the form. */
  submit: string
  busy: boolean
  /** Why it cannot be submitted yet. */
  reason?: string | null
  /** What was refused, unless a field shows it. */
  problem: ShownProblem | null
  children: ReactNode
}

/** An open dialog with a form, which Enter submits. */
export function FormDialog({
  title,
  onClose,
  onSubmit,
  submit,
  busy,
  reason = null,
  problem,
  children,
}: FormDialogProps) {
  return (
    <Dialog title={title} isOpen onClose={onClose}>
      <form onSubmit={onSubmit}>
        {children}
        {problem && <ProblemNotice problem={problem} />}
        <DialogActions>
          <Button onPress={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={busy} reason={reason}>
            {submit}
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

export interface ConfirmDialogProps {
  title: string
  isOpen: boolean
  onClose: () => void
  onConfirm: () => void
  confirm: string
  /** `primary` for what can be undone. */
  variant?: 'danger' | 'primary'
  /** Why it cannot be confirmed yet. */
  reason?: string | null
  busy: boolean
  problem: ShownProblem | null
  children: ReactNode
}

/** Asks for confirmation of an action that cannot be undone, or that changes much. */
export function ConfirmDialog({
  title,
  isOpen,
  onClose,
  onConfirm,
  confirm,
  variant = 'danger',
  reason = null,
  busy,
  problem,
  children,
}: ConfirmDialogProps) {
  return (
    <Dialog title={title} isOpen={isOpen} onClose={onClose} role="alertdialog">
      <div className={styles.body}>
        {children}
        {problem && <ProblemNotice problem={problem} />}
      </div>
      <DialogActions>
        <Button onPress={onClose} autoFocus>
          Cancel
        </Button>
        <Button variant={variant} reason={reason} busy={busy} onPress={onConfirm}>
          {confirm}
        </Button>
      </DialogActions>
    </Dialog>
  )
}
