import { useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { Layers } from 'lucide-react'
import { useCallback } from 'react'
import { usePollInterval } from '@/api/live'
import { useLocations } from '@/api/queries/catalogue'
import { imagesQuery } from '@/api/queries/images'
import { useNames } from '@/api/queries/names'
import { tasksQuery } from '@/api/queries/tasks'
import type { Image } from '@/api/types'
import { STATUS_CHOICES } from '@/features/images/ImageStatusBadge'
import { ImageTable } from '@/features/images/ImageTable'
import { limitLines } from '@/features/limits/lines'
import { asProblem } from '@/lib/problem'
import { imagesSearch } from '@/lib/search'
import { Button } from '@/ui/Button'
import { FilterBar, SearchBox, SelectBox } from '@/ui/Filter'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, MutedText, PageHeader, Stack } from '@/ui/Page'
import { TableSkeleton } from '@/ui/Table'
import { useImageCommands } from './use-image-commands'
import { useTitle } from './use-title'

const NEWEST_FIRST = '-created_at'

export function ImagesPage() {
  useTitle('My Images')
  const search = useSearch({ from: '/shell/images' })
  const navigate = useNavigate()
  const refetchInterval = usePollInterval()
  const sort = search.sort ?? NEWEST_FIRST
  const images = useInfiniteQuery({
    ...imagesQuery({ scope: 'own', sort, ...(search.status ? { status: search.status } : {}) }),
    refetchInterval,
    placeholderData: (previous) => previous,
  })
  const tasks = useInfiniteQuery(tasksQuery())
  const names = useNames()
  const { commands, dialog } = useImageCommands()
  const change = (patch: Record<string, string | undefined>) =>
    void navigate({ to: '/images', search: imagesSearch({ ...search, ...patch }), replace: true })

  const pages = tasks.data?.pages
  const taskOf = useCallback(
    (image: Image) => pages?.flatMap((page) => page.items).find((task) => task.id === image.task_id),
    [pages],
  )
  const all = images.data?.pages.flatMap((page) => page.items)
  const query = search.q?.toLowerCase() ?? ''
  const items = all?.filter(
    (image) =>
      image.name.toLowerCase().includes(query) ||
      (image.source_instance?.name.toLowerCase().includes(query) ?? false),
  )
  const isFiltered = query !== '' || search.status !== undefined
  return (
    <Stack>
      <PageHeader title="My Images" actions={<ImageLimits />}>
        Images created from your instances. You can create any number of instances from an image.
      </PageHeader>
      {(isFiltered || (all && all.length > 0)) && (
        <FilterBar>
          <SearchBox label="Search images" value={search.q ?? ''} onChange={(q) => change({ q })} />
          <SelectBox
            label="Status"
            any="Any status"
            choices={STATUS_CHOICES}
            value={search.status}
            onChange={(status) => change({ status })}
          />
        </FilterBar>
      )}
      {images.isPending && <TableSkeleton label="Loading images" />}
      {images.isError && !items && (
        <ProblemNotice
          problem={asProblem(images.error)}
          actions={<Button onPress={() => void images.refetch()}>Try again</Button>}
        />
      )}
      {items?.length === 0 && <NoImages isFiltered={isFiltered} />}
      {items && items.length > 0 && (
        <ImageTable
          items={items}
          names={names}
          taskOf={taskOf}
          commands={commands}
          sort={sort}
          onSort={(next) => change({ sort: next === NEWEST_FIRST ? undefined : next })}
          more={
            images.hasNextPage
              ? { load: () => void images.fetchNextPage(), busy: images.isFetchingNextPage }
              : null
          }
        />
      )}
      {dialog}
    </Stack>
  )
}

function NoImages({ isFiltered }: { isFiltered: boolean }) {
  const navigate = useNavigate()
  if (isFiltered) {
    return (
      <EmptyState
        icon={<Layers />}
        title="No matching images"
        actions={
          <Button onPress={() => void navigate({ to: '/images', search: {} })}>Show all images</Button>
        }
      >
        Try another name or status.
      </EmptyState>
    )
  }
  return (
    <EmptyState
      icon={<Layers />}
      title="No images yet"
      actions={<Button onPress={() => void navigate({ to: '/instances' })}>Go to Instances</Button>}
    >
      Open an instance and press Image, the button with the camera. The instance keeps running.
    </EmptyState>
  )
}

/** Shows what is used of the limits: once for those of the account, otherwise for each location. */
function ImageLimits() {
  const { data = [] } = useLocations()
  return limitLines(data).map((line) => <MutedText key={line}>{line}</MutedText>)
}
