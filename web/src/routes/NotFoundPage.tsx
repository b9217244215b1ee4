import { Link } from '@tanstack/react-router'
import { SearchX } from 'lucide-react'
import type { ReactNode } from 'react'
import { EmptyState } from '@/ui/Page'
import styles from './ErrorPage.module.css'
import { useTitle } from './use-title'

/** Shown when the item of a page does not exist or was deleted. */
export function MissingPage({ what, back }: { what: string; back: ReactNode }) {
  return (
    <EmptyState icon={<SearchX />} title={`${what} not found`} isPage actions={back}>
      It may have been deleted, or it may belong to another account.
    </EmptyState>
  )
}

export function NotFoundPage() {
  useTitle('Not found')
  return (
    <main className={styles.page}>
      <EmptyState
        icon={<SearchX />}
        title="Page not found"
        isPage
        actions={<Link to="/instances">Instances</Link>}
      >
        Check the address, or go to your instances.
      </EmptyState>
    </main>
  )
}
