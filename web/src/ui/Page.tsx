import type { ReactNode } from 'react'
import styles from './Page.module.css'

export interface PageHeaderProps {
  title: ReactNode
  /** Above the title: where it belongs. */
  back?: ReactNode
  /** Beside the title: its state. */
  status?: ReactNode
  /** Below the title. */
  children?: ReactNode
  actions?: ReactNode
}

export function PageHeader({ title, back, status, children, actions }: PageHeaderProps) {
  return (
    <header className={styles.header}>
      <div className={styles.heading}>
        {back && <div className={styles.back}>{back}</div>}
        <div className={styles.title}>
          <h1>{title}</h1>
          {status}
        </div>
        {children && <div className={styles.lead}>{children}</div>}
      </div>
      {actions && <div className={styles.actions}>{actions}</div>}
    </header>
  )
}

/** A box with a heading. */
export function Card({
  title,
  actions,
  children,
}: {
  title?: string
  actions?: ReactNode
  children: ReactNode
}) {
  return (
    <section className={styles.card} aria-label={title}>
      {(title || actions) && (
        <div className={styles.cardHead}>
          {title && <h2>{title}</h2>}
          {actions}
        </div>
      )}
      {children}
    </section>
  )
}

export interface Fact {
  name: string
  value: ReactNode
  /** Takes the whole width. */
  wide?: boolean
}

/** Names and values. */
export function Facts({ facts }: { facts: readonly Fact[] }) {
  return (
    <dl className={styles.facts}>
      {facts.map((fact) => (
        <div key={fact.name} className={fact.wide ? styles.wide : undefined}>
          <dt>{fact.name}</dt>
          <dd>{fact.value}</dd>
        </div>
      ))}
    </dl>
  )
}

/** What stands where there is nothing yet, and what to do about it. */
export function EmptyState(props: {
  icon: ReactNode
  title: string
  actions?: ReactNode
  children: ReactNode
}) {
  return (
    <div className={styles.empty}>
      <span className={styles.emptyIcon} aria-hidden="true">
        {props.icon}
      </span>
      <h2>{props.title}</h2>
      <p>{props.children}</p>
      {props.actions}
    </div>
  )
}

/** Things below each other, with the page's distance between them. */
export function Stack({ children, tight = false }: { children: ReactNode; tight?: boolean }) {
  return <div className={tight ? styles.tight : styles.stack}>{children}</div>
}

/** Things beside each other. */
export function Bar({ children }: { children: ReactNode }) {
  return <div className={styles.bar}>{children}</div>
}

/** Text of second rank. */
export function Soft({ children }: { children: ReactNode }) {
  return <span className={styles.soft}>{children}</span>
}

/** The shape of text that has not arrived. */
export function Skeleton({ label }: { label: string }) {
  return (
    <div role="status" aria-label={label} className={styles.skeleton}>
      <span aria-hidden="true" />
      <span aria-hidden="true" />
      <span aria-hidden="true" />
    </div>
  )
}
