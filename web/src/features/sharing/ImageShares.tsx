import { useInfiniteQuery } from '@tanstack/react-query'
import { UserMinus, UserPlus } from 'lucide-react'
import { useMemo, useState } from 'react'
import { usePollInterval } from '@/api/live'
import { useLocations } from '@/api/queries/catalogue'
import { sharesOfImageQuery } from '@/api/queries/shares'
import type { Image, Share } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { Card, MutedText, Skeleton } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { Status } from '@/ui/Status'
import { type Column, Table } from '@/ui/Table'
import { OfferDialog, RevokeDialog } from './ShareDialogs'
import { isOpen, SHARE_STATES } from './states'

/** Returns why an image cannot be shared now, or `null`. */
function shareReason(image: Image, isEnabled: boolean): string | null {
  if (!isEnabled) return 'The provider has not enabled sharing in this location.'
  return image.status === 'available' ? null : 'Only an available image can be shared.'
}

type Open = { kind: 'offer' } | { kind: 'revoke'; share: Share } | null

/** With whom an image of this account is shared. */
export function ImageShares({ image }: { image: Image }) {
  const [open, setOpen] = useState<Open>(null)
  const refetchInterval = usePollInterval()
  const shares = useInfiniteQuery({ ...sharesOfImageQuery(image.id), refetchInterval })
  const { data: locations = [] } = useLocations()
  const isEnabled = locations.find(({ id }) => id === image.location_id)?.sharing_enabled ?? false
  const items = shares.data?.pages.flatMap((page) => page.items) ?? []
  const columns = useMemo<Column<Share>[]>(
    () => [
      { id: 'account', name: 'Account', cell: ({ recipient }) => <ClampedText text={recipient} /> },
      {
        id: 'state',
        name: 'State',
        nowrap: true,
        cell: ({ state }) => (
          <Status tone={SHARE_STATES[state].tone} hint={SHARE_STATES[state].text}>
            {SHARE_STATES[state].name}
          </Status>
        ),
      },
      {
        id: 'offered',
        name: 'Offered',
        nowrap: true,
        cell: (share) => <RelativeTime at={share.offered_at} />,
      },
      {
        id: 'ends',
        name: 'Ends',
        nowrap: true,
        cell: ({ expires_at, ended_at }) =>
          (ended_at ?? expires_at) ? (
            formatInstant(ended_at ?? expires_at ?? '')
          ) : (
            <MutedText>When it is revoked</MutedText>
          ),
      },
    ],
    [],
  )
  return (
    <Card
      title="Sharing"
      actions={
        <Button
          icon={<UserPlus />}
          reason={shareReason(image, isEnabled)}
          onPress={() => setOpen({ kind: 'offer' })}
        >
          Share
        </Button>
      }
    >
      {shares.isPending && <Skeleton label="Loading shares" />}
      {shares.isError && !shares.data && (
        <ProblemNotice
          problem={asProblem(shares.error)}
          actions={<Button onPress={() => void shares.refetch()}>Try again</Button>}
        />
      )}
      {shares.data && items.length === 0 && (
        <MutedText>
          This image is not shared. Other accounts can create instances from it when you share it with them.
        </MutedText>
      )}
      {items.length > 0 && (
        <Table
          label="Shares"
          columns={columns}
          items={items}
          actions={(share) =>
            isOpen(share) && (
              <RowMenu
                label={`Actions for ${share.recipient}`}
                actions={[
                  {
                    id: 'revoke',
                    label: 'Stop sharing',
                    icon: <UserMinus />,
                    onAction: () => setOpen({ kind: 'revoke', share }),
                    danger: true,
                  },
                ]}
              />
            )
          }
          more={
            shares.hasNextPage
              ? { load: () => void shares.fetchNextPage(), busy: shares.isFetchingNextPage }
              : null
          }
        />
      )}
      {open?.kind === 'offer' && <OfferDialog image={image} onClose={() => setOpen(null)} />}
      {open?.kind === 'revoke' && <RevokeDialog share={open.share} onClose={() => setOpen(null)} />}
    </Card>
  )
}
