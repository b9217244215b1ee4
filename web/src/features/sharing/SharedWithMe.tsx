import { useInfiniteQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { Check, Layers, LogOut, Rocket, X } from 'lucide-react'
import { useMemo, useState } from 'react'
import { usePollInterval } from '@/api/live'
import { useLocationName } from '@/api/queries/catalogue'
import { incomingSharesQuery, useShareAction } from '@/api/queries/shares'
import type { Share } from '@/api/types'
import { formatBytes } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { type MenuAction, RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, MutedText, Stack } from '@/ui/Page'
import { Status } from '@/ui/Status'
import { type Column, Table, TableSkeleton } from '@/ui/Table'
import { LeaveDialog } from './ShareDialogs'
import { SHARE_STATES } from './states'

/** The number of offers that wait for a decision, for the tab; `undefined` for none. */
export function useOfferCount(): number | undefined {
  const { data } = useInfiniteQuery(incomingSharesQuery)
  const offers = data?.pages.flatMap((page) => page.items).filter(({ state }) => state === 'offered')
  return offers?.length || undefined
}

/** Images that other accounts offer to this one, and those that it has accepted. */
export function SharedWithMe() {
  const navigate = useNavigate()
  const locationName = useLocationName()
  const refetchInterval = usePollInterval()
  const shares = useInfiniteQuery({ ...incomingSharesQuery, refetchInterval })
  const act = useShareAction()
  const [leaving, setLeaving] = useState<Share | null>(null)
  const items = shares.data?.pages.flatMap((page) => page.items)
  const columns = useMemo<Column<Share>[]>(
    () => [
      { id: 'name', name: 'Name', cell: (share) => <ImageName share={share} /> },
      { id: 'owner', name: 'Shared by', cell: ({ owner }) => <ClampedText text={owner} /> },
      {
        id: 'disk',
        name: 'Disk',
        align: 'end',
        cell: ({ image }) => formatBytes(image.virtual_size_bytes),
      },
      { id: 'location', name: 'Location', cell: ({ image }) => locationName(image.location_id) },
      {
        id: 'state',
        name: 'State',
        nowrap: true,
        cell: ({ state }) => <Status tone={SHARE_STATES[state].tone}>{SHARE_STATES[state].name}</Status>,
      },
      {
        id: 'ends',
        name: 'Ends',
        nowrap: true,
        cell: ({ expires_at }) =>
          expires_at ? formatInstant(expires_at) : <MutedText>When it is revoked</MutedText>,
      },
    ],
    [locationName],
  )
  const actionsOf = (share: Share): MenuAction[] =>
    share.state === 'offered'
      ? [
          {
            id: 'accept',
            label: 'Accept',
            icon: <Check />,
            onAction: () => act.mutate({ id: share.id, action: 'accept' }),
          },
          {
            id: 'reject',
            label: 'Reject',
            icon: <X />,
            onAction: () => act.mutate({ id: share.id, action: 'reject' }),
          },
        ]
      : [
          {
            id: 'deploy',
            label: 'Create instance',
            icon: <Rocket />,
            onAction: () =>
              void navigate({ to: '/instances/new', search: { tab: 'shared', image: share.image.id } }),
          },
          {
            id: 'leave',
            label: 'Give up',
            icon: <LogOut />,
            onAction: () => setLeaving(share),
            danger: true,
            separated: true,
          },
        ]
  return (
    <Stack>
      {act.isError && <ProblemNotice problem={asProblem(act.error)} />}
      {shares.isPending && <TableSkeleton label="Loading shared images" />}
      {shares.isError && !items && (
        <ProblemNotice
          problem={asProblem(shares.error)}
          actions={<Button onPress={() => void shares.refetch()}>Try again</Button>}
        />
      )}
      {items?.length === 0 && (
        <EmptyState icon={<Layers />} title="Nothing is shared with you">
          Other accounts can offer you their images. You create instances from an image once you have accepted
          it.
        </EmptyState>
      )}
      {items && items.length > 0 && (
        <Table
          label="Shared with me"
          columns={columns}
          items={items}
          actions={(share) => (
            <RowMenu label={`Actions for ${share.image.name}`} actions={actionsOf(share)} />
          )}
          more={
            shares.hasNextPage
              ? { load: () => void shares.fetchNextPage(), busy: shares.isFetchingNextPage }
              : null
          }
        />
      )}
      {leaving && (
        <LeaveDialog
          share={{ id: leaving.id, owner: leaving.owner, name: leaving.image.name }}
          onClose={() => setLeaving(null)}
        />
      )}
    </Stack>
  )
}

/** Links to an image that was accepted; one that is only offered cannot be opened. */
function ImageName({ share: { image, state } }: { share: Share }) {
  if (state !== 'accepted') return <ClampedText text={image.name} />
  return (
    <Link to="/images/$id" params={{ id: image.id }}>
      <ClampedText text={image.name} />
    </Link>
  )
}
