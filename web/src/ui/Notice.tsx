import { CircleAlert, Info, TriangleAlert } from 'lucide-react'
import type { ReactNode } from 'react'
import { toSentence } from '@/lib/problem'
import styles from './Notice.module.css'

const ICONS = { info: Info, warn: TriangleAlert, bad: CircleAlert } as const

export interface NoticeProps {
  tone?: keyof typeof ICONS
  title?: string
  actions?: ReactNode
  role?: 'alert' | 'note'
  children?: ReactNode
}

/** A highlighted message. */
export function Notice({ tone = 'info', title, actions, role = 'note', children }: NoticeProps) {
  const Icon = ICONS[tone]
  return (
    <div className={`${styles.notice} ${styles[tone]}`} role={role}>
      <Icon aria-hidden="true" />
      <div className={styles.text}>
        {title && <p className={styles.title}>{title}</p>}
        {children}
      </div>
      {actions && <div className={styles.actions}>{actions}</div>}
    </div>
  )
}

export interface ShownProblem {
  title: string
  detail: string
  requestId: string | null
}

/** Shows why a request was refused: what happened, what to do, and the id for support. */
export function ProblemNotice({ problem, actions }: { problem: ShownProblem; actions?: ReactNode }) {
  return (
    <Notice tone="bad" role="alert" title={problem.title} actions={actions}>
      <p>{toSentence(problem.detail)}</p>
      {problem.requestId && (
        <p className={styles.request}>
          Request <code>{problem.requestId}</code>
        </p>
      )}
    </Notice>
  )
}
