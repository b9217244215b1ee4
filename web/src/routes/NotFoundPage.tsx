import { Link } from '@tanstack/react-router'
import { SearchX } from 'lucide-react'
import type { ReactNode } from 'react'
import { EmptyState } from '@/ui/Page'
import { useTitle } from './use-title'

/** Something that is not there, or no longer. */
export function MissingPage({ what, back }: { what: string; back: ReactNode }) {
  return (
    <EmptyState icon={<SearchX />} title={`There is no such ${what}`} actions={back}>
      It may have been deleted, or it belongs to another account.
    </EmptyState>
  )
}

export function NotFoundPage() {
  useTitle('Not found')
  return (
    <main>
      <EmptyState
        icon={<SearchX />}
        title="There is no such page"
        actions={<Link to="/instances">Instances</Link>}
      >
        Check the address, or start again from your instances.
      </EmptyState>
    </main>
  )
}
