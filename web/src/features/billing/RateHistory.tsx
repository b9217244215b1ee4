import { useQuery } from '@tanstack/react-query'
import { CircleStop, Plus } from 'lucide-react'
import { useState } from 'react'
import { useAccounts } from '@/api/queries/accounts'
import { ratesQuery, useEndRate } from '@/api/queries/billing'
import { adminLocationsQuery } from '@/api/queries/locations'
import type { Rate } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { ConfirmDialog } from '@/ui/Dialog'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { Card, Skeleton } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'
import { RateDialog } from './RateDialog'
import { canEnd, endOf, rateText, stateOf } from './rates'

/** All versions of all rates. None is ever changed. */
export function RateHistory({ period }: { period: string | undefined }) {
  const rates = useQuery(ratesQuery)
  const locations = useQuery(adminLocationsQuery)
  const accounts = useAccounts()
  const [isAdding, setAdding] = useState(false)
  const [ending, setEnding] = useState<Rate | null>(null)
  const end = useEndRate()
  const nameOf = (list: readonly { id: string; name: string }[] | undefined, id: string) =>
    list?.find((each) => each.id === id)?.name ?? id
  const now = Date.now()
  const columns: Column<Rate>[] = [
    { id: 'rate', name: 'Rate', cell: (rate) => (rate.ends ? 'Ends' : rateText(rate)) },
    { id: 'location', name: 'Location', cell: ({ location_id }) => nameOf(locations.data, location_id) },
    {
      id: 'account',
      name: 'Account',
      nowrap: true,
      cell: ({ account_id }) => (account_id === null ? 'All' : nameOf(accounts.data, account_id)),
    },
    {
      id: 'kind',
      name: 'For',
      nowrap: true,
      cell: ({ terms }) => (terms.kind === 'instance' ? 'Instances' : 'Images'),
    },
    {
      id: 'from',
      name: 'From',
      nowrap: true,
      cell: ({ effective_from }) => <time title={effective_from}>{formatInstant(effective_from)}</time>,
    },
    { id: 'state', name: 'State', nowrap: true, cell: (rate) => stateOf(rate, rates.data ?? [], now) },
  ]
  return (
    <Card
      title="Rates"
      actions={
        <Button variant="primary" icon={<Plus />} onPress={() => setAdding(true)}>
          Add Version
        </Button>
      }
    >
      {rates.isPending && <Skeleton label="Loading the rates" />}
      {rates.isError && (
        <ProblemNotice
          problem={asProblem(rates.error)}
          actions={<Button onPress={() => void rates.refetch()}>Try again</Button>}
        />
      )}
      {rates.data?.length === 0 && <p>There is no rate yet, so nothing is charged.</p>}
      {rates.data && rates.data.length > 0 && (
        <Table
          label="Rates"
          columns={columns}
          items={rates.data}
          actions={(rate) =>
            canEnd(rate, rates.data, now) && (
              <RowMenu
                label={`Actions for the rate ${rateText(rate)}`}
                actions={[{ id: 'end', label: 'End', icon: <CircleStop />, onAction: () => setEnding(rate) }]}
              />
            )
          }
        />
      )}
      {ending && (
        <ConfirmDialog
          title="End this rate?"
          isOpen
          onClose={() => setEnding(null)}
          onConfirm={() => end.mutate(endOf(ending, now), { onSuccess: () => setEnding(null) })}
          confirm="End Rate"
          busy={end.isPending}
          problem={end.isError ? asProblem(end.error) : null}
        >
          <p>
            {endOf(ending, now).effective_from
              ? 'It never applies.'
              : 'It applies until the end of this hour.'}{' '}
            {ending.account_id === null
              ? 'Then nothing is charged in this location, except by rates of accounts.'
              : 'Then the account pays the rate of the location.'}{' '}
            What was before stays as it was charged.
          </p>
        </ConfirmDialog>
      )}
      {isAdding && <RateDialog month={period} onClose={() => setAdding(false)} />}
    </Card>
  )
}
