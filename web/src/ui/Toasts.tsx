import { CircleAlert, CircleCheck, CircleSlash, X } from 'lucide-react'
import { type ReactNode, useEffect, useSyncExternalStore } from 'react'
import { IconButton } from './Button'
import styles from './Toasts.module.css'

export interface Toast {
  tone: 'good' | 'bad' | 'idle'
  title: string
  text: string
  /** A link to more. */
  action?: ReactNode
}

interface ShownToast extends Toast {
  id: number
}

/** More than this many at once push the oldest out. */
const MOST = 4
const SHOWN_MS = 9000

let shown: readonly ShownToast[] = []
let lastId = 0
const listeners = new Set<() => void>()

function set(next: readonly ShownToast[]): void {
  shown = next
  for (const listener of listeners) listener()
}

/** Says something in the corner, whatever page is open. */
export function showToast(toast: Toast): void {
  lastId += 1
  set([...shown, { ...toast, id: lastId }].slice(-MOST))
}

const dismiss = (id: number) => set(shown.filter((toast) => toast.id !== id))

const subscribe = (listener: () => void) => {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** The corner where toasts appear: a live region, so that they are also read aloud. */
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
    // What failed stays until it was seen.
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
