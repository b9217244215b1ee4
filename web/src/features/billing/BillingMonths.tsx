import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { monthsQuery, useCloseMonth, useReconcile } from '@/api/queries/billing'
import type { BillingMonth } from '@/api/types'
import { monthName } from '@/lib/figures'
import { formatCount, plural } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { ConfirmDialog } from '@/ui/Dialog'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { Card, Skeleton } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'

type Row = BillingMonth & { id: string }

/** The months: closing one freezes its lines. Any can be computed again and compared. */
export function BillingMonths() {
  const months = useQuery(monthsQuery)
  const [closing, setClosing] = useState<string | null>(null)
  const close = useCloseMonth()
  const reconcile = useReconcile()
  const columns: Column<Row>[] = [
    { id: 'month', name: 'Month', cell: ({ month }) => monthName(month) },
    { id: 'zone', name: 'Time zone', cell: ({ time_zone }) => time_zone },
    {
      id: 'state',
      name: 'State',
      cell: ({ closed_at }) => (closed_at ? `Closed ${formatInstant(closed_at)}` : 'Open'),
    },
    {
      id: 'actions',
      name: 'Actions',
      cell: ({ month, to, closed_at }) => (
        <>
          <Button
            variant="quiet"
            aria-label={`Reconcile ${monthName(month)}`}
            busy={reconcile.isPending && reconcile.variables === month}
            onPress={() => reconcile.mutate(month)}
          >
            Reconcile
          </Button>
          {!closed_at && (
            <Button
              variant="quiet"
              aria-label={`Close ${monthName(month)}`}
              reason={Date.parse(to) > Date.now() ? 'The month is not over.' : null}
              onPress={() => setClosing(month)}
            >
              Close
            </Button>
          )}
        </>
      ),
    },
  ]
  return (
    <Card title="Months">
      {months.isPending && <Skeleton label="Loading the months" />}
      {months.isError && (
        <ProblemNotice
          problem={asProblem(months.error)}
          actions={<Button onPress={() => void months.refetch()}>Try again</Button>}
        />
      )}
      {months.data?.length === 0 && <p>Nothing has been used yet.</p>}
      {months.data && months.data.length > 0 && (
        <Table
          label="Months"
          columns={columns}
          items={months.data.map((month) => ({ ...month, id: month.month }))}
        />
      )}
      {reconcile.isError && <ProblemNotice problem={asProblem(reconcile.error)} />}
      {reconcile.data && (
        <Notice
          tone={reconcile.data.differences > 0 ? 'bad' : 'info'}
          title={
            reconcile.data.differences > 0
              ? `${monthName(reconcile.data.month)}: ${plural(reconcile.data.differences, 'difference')}`
              : `${monthName(reconcile.data.month)}: everything is as computed`
          }
        >
          <p>
            {formatCount(reconcile.data.hours)} hours of the ledger and {formatCount(reconcile.data.lines)}{' '}
            frozen lines were computed again.
          </p>
          <ul>
            {reconcile.data.items.map(({ kind, about, expected, found }) => (
              <li key={`${kind} ${about}`}>
                {about}: expected {expected ?? 'nothing'}, found {found ?? 'nothing'}
              </li>
            ))}
          </ul>
        </Notice>
      )}
      {closing && (
        <ConfirmDialog
          title={`Close ${monthName(closing)}?`}
          isOpen
          onClose={() => setClosing(null)}
          onConfirm={() => close.mutate(closing, { onSuccess: () => setClosing(null) })}
          confirm="Close Month"
          busy={close.isPending}
          problem={close.isError ? asProblem(close.error) : null}
        >
          <p>
            Its lines are frozen for all accounts. Later corrections are adjustments; it cannot be opened
            again.
          </p>
        </ConfirmDialog>
      )}
    </Card>
  )
}
