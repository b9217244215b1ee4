import { useQuery } from '@tanstack/react-query'
import { PiggyBank } from 'lucide-react'
import { useState } from 'react'
import { billingUsageQuery } from '@/api/queries/billing'
import { quantityText, totalsText } from '@/lib/figures'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { Card, MutedText, Skeleton, Stack } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'
import { StopDialog } from './StopDialog'

interface Row {
  id: string
  name: string | null
  gib_hours: string
  totals: { amount: string; currency: string }[]
}

const columns = (first: string): Column<Row>[] => [
  { id: 'name', name: first, cell: ({ name }) => name ?? 'Deleted location' },
  { id: 'hours', name: 'GiB-hours', align: 'end', cell: ({ gib_hours }) => quantityText(gib_hours) },
  { id: 'total', name: 'Charge', align: 'end', nowrap: true, cell: ({ totals }) => totalsText(totals) },
]

/** What all accounts used in a month, those that are charged most first. */
export function BillingTotals({ period }: { period: string | undefined }) {
  const usage = useQuery(billingUsageQuery(period))
  const [stopped, setStopped] = useState<{ id: string; name: string } | null>(null)
  if (usage.isPending) return <Skeleton label="Loading the usage" />
  if (usage.isError) {
    return (
      <ProblemNotice
        problem={asProblem(usage.error)}
        actions={<Button onPress={() => void usage.refetch()}>Try again</Button>}
      />
    )
  }
  const { accounts, locations, totals, time_zone } = usage.data
  return (
    <Stack>
      <MutedText>
        All accounts: {totalsText(totals)}. The month is one of the time zone {time_zone}.
      </MutedText>
      <Card title="Accounts">
        <Table
          label="Accounts"
          columns={columns('Account')}
          items={accounts.map(({ account_id, ...rest }) => ({ id: account_id, ...rest }))}
          actions={({ id, name }) => (
            <RowMenu
              label={`Actions for ${name}`}
              actions={[
                {
                  id: 'stop',
                  label: 'Set budget',
                  icon: <PiggyBank />,
                  onAction: () => setStopped({ id, name: name ?? id }),
                },
              ]}
            />
          )}
        />
      </Card>
      <Card title="Locations">
        <Table
          label="Locations"
          columns={columns('Location')}
          items={locations.map(({ location_id, ...rest }) => ({ id: location_id, ...rest }))}
        />
      </Card>
      {stopped && <StopDialog account={stopped} onClose={() => setStopped(null)} />}
    </Stack>
  )
}
