import type { ReactNode } from 'react'
import { ClampedText } from './ClampedText'
import styles from './Page.module.css'

export interface PageHeaderProps {
  title: string
  /** A link to the parent page, above the title. */
  back?: ReactNode
  /** The status, next to the title. */
  status?: ReactNode
  /** The introduction, below the title. */
  children?: ReactNode
  actions?: ReactNode
}

export function PageHeader({ title, back, status, children, actions }: PageHeaderProps) {
  return (
    <header className={styles.header}>
      <div className={styles.heading}>
        {back && <div className={styles.back}>{back}</div>}
        <div className={styles.title}>
          <h1>
            <ClampedText text={title} />
          </h1>
          {status}
        </div>
        {children && <div className={styles.lead}>{children}</div>}
      </div>
      {actions && <div className={styles.actions}>{actions}</div>}
    </header>
  )
}

/** A section with a border and a heading. */
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
  /** Uses the full width. */
  wide?: boolean
}

/** A list of names and values. */
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

/** Shown instead of an empty list: what the list is for and what to do next. */
export function EmptyState(props: {
  icon: ReactNode
  title: string
  /** The title is the heading of the whole page. */
  isPage?: boolean
  actions?: ReactNode
  children: ReactNode
}) {
  return (
    <div className={styles.empty}>
      <span className={styles.emptyIcon} aria-hidden="true">
        {props.icon}
      </span>
      {props.isPage ? <h1>{props.title}</h1> : <h2>{props.title}</h2>}
      <p>{props.children}</p>
      {props.actions}
    </div>
  )
}

/** Stacks its children vertically with the page's spacing. */
export function Stack({ children, tight = false }: { children: ReactNode; tight?: boolean }) {
  return <div className={tight ? styles.tight : styles.stack}>{children}</div>
}

/** Places buttons in a row. */
export function ButtonRow({ children }: { children: ReactNode }) {
  return <div className={styles.buttons}>{children}</div>
}

/** Text in the secondary colour. */
export function MutedText({ children }: { children: ReactNode }) {
  return <span className={styles.muted}>{children}</span>
}

/** A placeholder for content that is being loaded. */
export function Skeleton({ label }: { label: string }) {
  return (
    <div role="status" aria-label={label} className={styles.skeleton}>
      <span aria-hidden="true" />
      <span aria-hidden="true" />
      <span aria-hidden="true" />
    </div>
  )
}
