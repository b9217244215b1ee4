import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { FolderSearch } from 'lucide-react'
import { useCallback, useState } from 'react'
import { useAccounts } from '@/api/queries/accounts'
import { OBJECTS_OF_PAGE, objectsQuery } from '@/api/queries/storage-objects'
import type { StorageScan } from '@/api/types'
import { ObjectTable } from '@/features/storages/ObjectTable'
import type { ObjectCommands } from '@/features/storages/object-actions'
import { type ClassFilter, classChoices, countOf, filterParams } from '@/features/storages/objects'
import { rangeText } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { objectsSearch } from '@/lib/search'
import { Button } from '@/ui/Button'
import { FilterBar, SearchBox, SelectBox } from '@/ui/Filter'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, MutedText } from '@/ui/Page'
import { Pager } from '@/ui/Pager'
import { TableSkeleton } from '@/ui/Table'

export interface StorageObjectListProps {
  storageId: string
  scan: StorageScan
  search: { prefix?: string; class?: ClassFilter }
  commands: ObjectCommands
}

/** The objects of a storage, one page at a time: there may be millions. */
export function StorageObjectList({ storageId, scan, search, commands }: StorageObjectListProps) {
  const navigate = useNavigate()
  const { data: accounts } = useAccounts()
  const accountName = useCallback(
    (id: string) => accounts?.find((account) => account.id === id)?.name ?? id,
    [accounts],
  )
  const pages = usePageTokens(`${scan.id} ${search.class} ${search.prefix}`)
  const objects = useQuery({
    ...objectsQuery(storageId, {
      scan_id: scan.id,
      ...filterParams(search.class),
      ...(search.prefix ? { prefix: search.prefix } : {}),
      ...(pages.token ? { page_token: pages.token } : {}),
    }),
    placeholderData: (previous) => previous,
  })
  const show = (next: { prefix?: string | undefined; class?: ClassFilter | undefined }) =>
    void navigate({
      to: '/image-storages/$id/objects',
      params: { id: storageId },
      search: objectsSearch({ ...search, ...next }),
      replace: true,
    })
  const items = objects.data?.items
  const next = objects.data?.next_page_token
  const first = pages.index * OBJECTS_OF_PAGE
  const isFiltered = search.class !== undefined || search.prefix !== undefined
  if (scan.objects === 0 && scan.classes.length === 0) return null
  return (
    <>
      <FilterBar>
        <SearchBox
          label="Key begins with"
          value={search.prefix ?? ''}
          onChange={(prefix) => show({ prefix })}
        />
        <SelectBox
          label="Class"
          any="Any class"
          choices={classChoices}
          value={search.class}
          onChange={(chosen) => show({ class: chosen })}
        />
      </FilterBar>
      {objects.isPending && <TableSkeleton label="Loading objects" />}
      {objects.isError && (
        <ProblemNotice
          problem={asProblem(objects.error)}
          actions={<Button onPress={() => void objects.refetch()}>Try again</Button>}
        />
      )}
      {items?.length === 0 && (
        <EmptyState
          icon={<FolderSearch />}
          title="No matching objects"
          actions={
            isFiltered && (
              <Button onPress={() => show({ prefix: undefined, class: undefined })}>Show all objects</Button>
            )
          }
        >
          {isFiltered ? 'Try another class, or another beginning of the key.' : 'What was here is gone.'}
        </EmptyState>
      )}
      {items && items.length > 0 && (
        <>
          <ObjectTable items={items} commands={commands} accountName={accountName} />
          {pages.index === 0 && !next ? (
            <MutedText>{items.length === 1 ? 'One object' : `${items.length} objects`}</MutedText>
          ) : (
            <Pager
              label="Pages of objects"
              busy={objects.isPlaceholderData}
              onPrevious={pages.index > 0 ? pages.previous : null}
              onNext={next ? () => pages.next(next) : null}
            >
              {rangeText(first, items.length, search.prefix ? null : countOf(scan, search.class))}
            </Pager>
          )}
        </>
      )}
    </>
  )
}

interface PageTokens {
  /** The token of the page that is shown; none for the first one. */
  token: string | undefined
  index: number
  next: (token: string) => void
  previous: () => void
}

/** Keeps the tokens of the pages up to the one that is shown; another list begins at its start. */
function usePageTokens(list: string): PageTokens {
  const [state, setState] = useState<{ list: string; tokens: readonly string[] }>({ list, tokens: [] })
  const tokens = state.list === list ? state.tokens : []
  return {
    token: tokens.at(-1),
    index: tokens.length,
    next: (token) => setState({ list, tokens: [...tokens, token] }),
    previous: () => setState({ list, tokens: tokens.slice(0, -1) }),
  }
}
