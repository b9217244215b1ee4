import { useInfiniteQuery } from '@tanstack/react-query'
import { deliveriesQuery, useRedeliver } from '@/api/queries/webhooks'
import type { Webhook, WebhookDelivery } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { Dialog, DialogActions, DialogBody } from '@/ui/Dialog'
import { ProblemNotice } from '@/ui/Notice'
import { MutedText, Skeleton } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { type Column, Table } from '@/ui/Table'

const columns: Column<WebhookDelivery>[] = [
  { id: 'at', name: 'At', nowrap: true, cell: ({ at }) => <RelativeTime at={at} /> },
  { id: 'type', name: 'Type', cell: ({ type }) => <code>{type}</code> },
  { id: 'attempt', name: 'Attempt', align: 'end', cell: ({ attempt }) => attempt },
  {
    id: 'answer',
    name: 'Answer',
    cell: ({ delivered, status, problem }) => (delivered ? `${status}: taken` : problem),
  },
]

/** The attempts to deliver messages. From one of them on, all can be delivered again. */
export function DeliveriesDialog({ webhook, onClose }: { webhook: Webhook; onClose: () => void }) {
  const deliveries = useInfiniteQuery(deliveriesQuery(webhook.id))
  const redeliver = useRedeliver()
  const items = deliveries.data?.pages.flatMap((page) => page.items)
  return (
    <Dialog title={`Deliveries to ${webhook.name}`} isOpen onClose={onClose}>
      <DialogBody>
        {deliveries.isPending && <Skeleton label="Loading the deliveries" />}
        {deliveries.isError && <ProblemNotice problem={asProblem(deliveries.error)} />}
        {redeliver.isError && <ProblemNotice problem={asProblem(redeliver.error)} />}
        {items?.length === 0 && <p>Nothing was sent yet.</p>}
        {items && items.length > 0 && (
          <>
            <MutedText>The latest 200 attempts are kept. Events are delivered in their order.</MutedText>
            <Table
              label="Deliveries"
              columns={columns}
              items={items}
              actions={({ sequence, type }) =>
                sequence !== null && (
                  <Button
                    variant="quiet"
                    aria-label={`Deliver again from ${type} ${sequence} on`}
                    busy={redeliver.isPending && redeliver.variables.sequence === sequence}
                    reason={webhook.enabled ? null : 'The webhook is switched off.'}
                    onPress={() => redeliver.mutate({ id: webhook.id, sequence })}
                  >
                    Again from here
                  </Button>
                )
              }
              more={
                deliveries.hasNextPage
                  ? { load: () => void deliveries.fetchNextPage(), busy: deliveries.isFetchingNextPage }
                  : null
              }
            />
          </>
        )}
      </DialogBody>
      <DialogActions>
        <Button onPress={onClose}>Close</Button>
      </DialogActions>
    </Dialog>
  )
}
