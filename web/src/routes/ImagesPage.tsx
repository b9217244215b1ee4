import { useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { Layers, Upload } from 'lucide-react'
import { useCallback } from 'react'
import { usePollInterval } from '@/api/live'
import { useLocations } from '@/api/queries/catalogue'
import { imagesQuery } from '@/api/queries/images'
import { useNames } from '@/api/queries/names'
import { tasksQuery } from '@/api/queries/tasks'
import type { Image } from '@/api/types'
import { STATUS_CHOICES } from '@/features/images/ImageStatusBadge'
import { ImageTable } from '@/features/images/ImageTable'
import { UploadList } from '@/features/imports/UploadList'
import { limitLines } from '@/features/limits/lines'
import { SharedWithMe, useOfferCount } from '@/features/sharing/SharedWithMe'
import { asProblem } from '@/lib/problem'
import { imagesSearch, splitTags } from '@/lib/search'
import { Button } from '@/ui/Button'
import { DebouncedSearchBox, FilterBar, SelectBox } from '@/ui/Filter'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, MutedText, PageHeader, Stack } from '@/ui/Page'
import { TableSkeleton } from '@/ui/Table'
import { Tabs } from '@/ui/Tabs'
import { Tags } from '@/ui/Tags'
import { useImageCommands } from './use-image-commands'
import { useTitle } from './use-title'

const NEWEST_FIRST = '-created_at'

export function ImagesPage() {
  useTitle('My Images')
  const { tab = 'mine' } = useSearch({ from: '/shell/images' })
  const navigate = useNavigate()
  const offers = useOfferCount()
  return (
    <Stack>
      <PageHeader
        title="My Images"
        actions={
          <>
            <ImageLimits />
            <ImportButton />
          </>
        }
      >
        Images created from your instances or imported, and those that other accounts share with you. You can
        create any number of instances from an image.
      </PageHeader>
      <UploadList />
      <Tabs
        label="Images"
        selected={tab}
        onSelect={(id) => void navigate({ to: '/images', search: imagesSearch({ tab: id }) })}
        tabs={[
          { id: 'mine', label: 'Mine', content: <MyImages /> },
          { id: 'shared', label: 'Shared with me', count: offers, content: <SharedWithMe /> },
        ]}
      />
    </Stack>
  )
}

function MyImages() {
  const search = useSearch({ from: '/shell/images' })
  const navigate = useNavigate()
  const refetchInterval = usePollInterval()
  const sort = search.sort ?? NEWEST_FIRST
  const images = useInfiniteQuery({
    ...imagesQuery({
      scope: 'own',
      sort,
      ...(search.q ? { q: search.q } : {}),
      ...(search.tag ? { tag: search.tag } : {}),
      ...(search.status ? { status: search.status } : {}),
    }),
    refetchInterval,
    placeholderData: (previous) => previous,
  })
  const tasks = useInfiniteQuery(tasksQuery())
  const items = images.data?.pages.flatMap((page) => page.items)
  const names = useNames({ instances: items?.map((image) => image.source_instance?.id) ?? [] })
  const { commands, dialog } = useImageCommands()
  const change = (patch: Record<string, string | undefined>) =>
    void navigate({ to: '/images', search: imagesSearch({ ...search, ...patch }), replace: true })

  const pages = tasks.data?.pages
  const taskOf = useCallback(
    (image: Image) => pages?.flatMap((page) => page.items).find((task) => task.id === image.task_id),
    [pages],
  )
  const tags = splitTags(search.tag ?? '')
  const addTag = useCallback(
    (tag: string) =>
      void navigate({
        to: '/images',
        search: (old) => imagesSearch({ ...old, tag: [...splitTags(String(old.tag ?? '')), tag].join(',') }),
      }),
    [navigate],
  )
  const isFiltered = search.q !== undefined || search.status !== undefined || tags.length > 0
  return (
    <Stack>
      {(isFiltered || (items && items.length > 0)) && (
        <FilterBar>
          <DebouncedSearchBox label="Search images" value={search.q ?? ''} onChange={(q) => change({ q })} />
          <SelectBox
            label="Status"
            any="Any status"
            choices={STATUS_CHOICES}
            value={search.status}
            onChange={(status) => change({ status })}
          />
          <Tags
            label="Only images with these tags"
            tags={tags}
            action="Show also images without"
            onPress={(tag) => change({ tag: tags.filter((other) => other !== tag).join(',') })}
            removable
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
          onTag={addTag}
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
        Try other words, tags or another status.
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

/** Leads to the import, where a location takes any. */
function ImportButton() {
  const { data = [] } = useLocations()
  const navigate = useNavigate()
  if (!data.some((location) => location.import_enabled)) return null
  return (
    <Button icon={<Upload />} onPress={() => void navigate({ to: '/images/import', search: {} })}>
      Import
    </Button>
  )
}

/** Shows what is used of the limits: once for those of the account, otherwise for each location. */
function ImageLimits() {
  const { data = [] } = useLocations()
  return limitLines(data).map((line) => <MutedText key={line}>{line}</MutedText>)
}
