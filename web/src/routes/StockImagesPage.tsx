import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { Layers, Plus } from 'lucide-react'
import { useMemo, useState } from 'react'
import { usePollInterval } from '@/api/live'
import { imagesQuery } from '@/api/queries/images'
import { mediaGroupsQuery } from '@/api/queries/media-groups'
import type { Image } from '@/api/types'
import { OfferBadges } from '@/features/catalogue/OfferBadges'
import { ImageStatusBadge } from '@/features/images/ImageStatusBadge'
import { OS_TYPES } from '@/lib/os-types'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { DebouncedSearchBox } from '@/ui/Filter'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, MutedText, PageHeader, Stack } from '@/ui/Page'
import { type Column, Table, TableSkeleton } from '@/ui/Table'
import { useStockImageCommands } from './use-stock-image-commands'
import { useTitle } from './use-title'

export function StockImagesPage() {
  useTitle('Stock Images')
  const navigate = useNavigate()
  const [q, setQ] = useState('')
  const refetchInterval = usePollInterval()
  const groups = useQuery(mediaGroupsQuery)
  const images = useInfiniteQuery({
    ...imagesQuery({ scope: 'stock', sort: 'name', ...(q ? { q } : {}) }),
    refetchInterval,
    placeholderData: (previous) => previous,
  })
  const items = images.data?.pages.flatMap((page) => page.items)
  const { actions, dialog, problem } = useStockImageCommands(items ?? [], groups.data ?? [])
  const columns = useMemo<Column<Image>[]>(() => {
    const groupOf = (image: Image) => groups.data?.find(({ id }) => id === image.catalogue?.media_group_id)
    return [
      {
        id: 'name',
        name: 'Name',
        cell: ({ id, name }) => (
          <Link to="/images/$id" params={{ id }}>
            <ClampedText text={name} />
          </Link>
        ),
      },
      {
        id: 'family',
        name: 'Family',
        cell: ({ catalogue }) => catalogue?.family ?? <MutedText>none</MutedText>,
      },
      { id: 'version', name: 'Version', cell: ({ catalogue }) => catalogue?.family_version ?? '' },
      { id: 'system', name: 'System', cell: ({ os_type }) => OS_TYPES[os_type] },
      {
        id: 'group',
        name: 'Media group',
        cell: (image) => groupOf(image)?.label ?? <MutedText>none</MutedText>,
      },
      {
        id: 'offer',
        name: 'Customers',
        nowrap: true,
        cell: (image) =>
          image.status === 'available' ? (
            <OfferBadges image={image} group={groupOf(image)} />
          ) : (
            <ImageStatusBadge image={image} task={undefined} />
          ),
      },
    ]
  }, [groups.data])
  const add = (
    <Button variant="primary" icon={<Plus />} onPress={() => void navigate({ to: '/stock-images/new' })}>
      Add Stock Image
    </Button>
  )
  const isEmpty = items?.length === 0
  return (
    <Stack>
      <PageHeader title="Stock Images" actions={isEmpty && q === '' ? undefined : add}>
        Images that you offer to all customers.
      </PageHeader>
      {(q !== '' || (items && items.length > 0)) && (
        <DebouncedSearchBox label="Search stock images" value={q} onChange={setQ} />
      )}
      {problem && <ProblemNotice problem={problem} />}
      {images.isPending && <TableSkeleton label="Loading stock images" />}
      {images.isError && !images.data && (
        <ProblemNotice
          problem={asProblem(images.error)}
          actions={<Button onPress={() => void images.refetch()}>Try again</Button>}
        />
      )}
      {isEmpty && (
        <EmptyState
          icon={<Layers />}
          title={q === '' ? 'No stock images yet' : 'No matching stock images'}
          actions={q === '' ? add : undefined}
        >
          {q === ''
            ? 'Copy an image file to a storage for stock images, and add it here.'
            : 'Try other words.'}
        </EmptyState>
      )}
      {items && items.length > 0 && (
        <Table
          label="Stock Images"
          columns={columns}
          items={items}
          actions={(image) => <RowMenu label={`Actions for ${image.name}`} actions={actions(image)} />}
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
