import { CircleAlert, CircleCheck, CircleSlash, X } from 'lucide-react'
import { type ReactNode, useEffect, useSyncExternalStore } from 'react'
import { IconButton } from './Button'
import styles from './Toasts.module.css'

export interface Toast {
  tone: 'good' | 'bad' | 'idle'
  title: string
  text: string
  /** A link to the details. */
  action?: ReactNode
}

interface ShownToast extends Toast {
  id: number
}

/** The number of notifications shown at once; the oldest are removed first. */
const MAX_SHOWN = 4
const SHOWN_MS = 9000

let shown: readonly ShownToast[] = []
let lastId = 0
const listeners = new Set<() => void>()

function set(next: readonly ShownToast[]): void {
  shown = next
  for (const listener of listeners) listener()
}

/** Shows a notification in the corner of any page. */
export function showToast(toast: Toast): void {
  lastId += 1
  set([...shown, { ...toast, id: lastId }].slice(-MAX_SHOWN))
}

const dismiss = (id: number) => set(shown.filter((toast) => toast.id !== id))

const subscribe = (listener: () => void) => {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** The corner with the notifications: a live region, so that screen readers announce them. */
export function Toasts() {
  const toasts = useSyncExternalStore(subscribe, () => shown)
  return (
    <section className={styles.region} aria-label="Notifications" aria-live="polite">
      {toasts.map((toast) => (
        <ToastCard key={toast.id} toast={toast} />
      ))}
    </section>
  )
}

const ICONS = { good: CircleCheck, bad: CircleAlert, idle: CircleSlash } as const

function ToastCard({ toast }: { toast: ShownToast }) {
  useEffect(() => {
    // A failure stays until it is dismissed.
    if (toast.tone === 'bad') return
    const timer = setTimeout(() => dismiss(toast.id), SHOWN_MS)
    return () => clearTimeout(timer)
  }, [toast.id, toast.tone])
  const Icon = ICONS[toast.tone]
  return (
    <div className={`${styles.toast} ${styles[toast.tone]}`}>
      <Icon aria-hidden="true" />
      <div className={styles.text}>
        <p className={styles.title}>{toast.title}</p>
        <p>{toast.text}</p>
        {toast.action}
      </div>
      <IconButton label="Dismiss" icon={<X />} onPress={() => dismiss(toast.id)} />
    </div>
  )
}
