import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { Plus } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { useAccounts } from '@/api/queries/accounts'
import { adjustmentsQuery, monthsQuery, useAddAdjustment } from '@/api/queries/billing'
import type { Adjustment } from '@/api/types'
import { amountProblem, currencyProblem, moneyText, monthName } from '@/lib/figures'
import { focusFirstInvalid } from '@/lib/focus'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { FormDialog } from '@/ui/Dialog'
import { SelectField, TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { Card, Skeleton } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'

/** Corrections of closed months. */
export function Adjustments() {
  const adjustments = useInfiniteQuery(adjustmentsQuery)
  const items = adjustments.data?.pages.flatMap((page) => page.items)
  const accounts = useAccounts()
  const [isAdding, setAdding] = useState(false)
  const columns: Column<Adjustment>[] = [
    {
      id: 'account',
      name: 'Account',
      cell: ({ account_id }) => accounts.data?.find(({ id }) => id === account_id)?.name ?? account_id,
    },
    { id: 'corrects', name: 'Corrects', cell: ({ corrects }) => monthName(corrects) },
    { id: 'charged', name: 'Charged in', cell: ({ charged_in }) => monthName(charged_in) },
    { id: 'reason', name: 'Reason', cell: ({ reason }) => reason },
    { id: 'amount', name: 'Amount', align: 'end', nowrap: true, cell: ({ charge }) => moneyText(charge) },
  ]
  return (
    <Card
      title="Adjustments"
      actions={
        <Button variant="primary" icon={<Plus />} onPress={() => setAdding(true)}>
          Add Adjustment
        </Button>
      }
    >
      {adjustments.isPending && <Skeleton label="Loading the adjustments" />}
      {adjustments.isError && (
        <ProblemNotice
          problem={asProblem(adjustments.error)}
          actions={<Button onPress={() => void adjustments.refetch()}>Try again</Button>}
        />
      )}
      {items?.length === 0 && <p>No closed month was corrected.</p>}
      {items && items.length > 0 && (
        <Table
          label="Adjustments"
          columns={columns}
          items={items}
          more={
            adjustments.hasNextPage
              ? { load: () => void adjustments.fetchNextPage(), busy: adjustments.isFetchingNextPage }
              : null
          }
        />
      )}
      {isAdding && <AdjustmentDialog onClose={() => setAdding(false)} />}
    </Card>
  )
}

function AdjustmentDialog({ onClose }: { onClose: () => void }) {
  const accounts = useAccounts()
  const months = useQuery(monthsQuery)
  const [values, setValues] = useState({
    account_id: '',
    corrects: '',
    amount: '',
    currency: 'EUR',
    reason: '',
  })
  const [submitted, setSubmitted] = useState(false)
  const add = useAddAdjustment()
  const set = (patch: Partial<typeof values>) => setValues((old) => ({ ...old, ...patch }))
  const refusal = add.isError ? asProblem(add.error) : null
  const closed = (months.data ?? []).filter(({ closed_at }) => closed_at !== null)
  const account_id = values.account_id || (accounts.data?.[0]?.id ?? '')
  const corrects = values.corrects || (closed[0]?.month ?? '')
  const problems = {
    amount: amountProblem(values.amount, { negative: true }),
    currency: currencyProblem(values.currency),
    reason: values.reason.trim() === '' ? 'Say why: the customer reads it.' : null,
  }
  const said = (field: keyof typeof problems) => {
    const text = refusal?.field(`/${field}`)
    return (submitted ? problems[field] : null) ?? (text ? toSentence(text) : null)
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (Object.values(problems).some(Boolean)) return focusFirstInvalid(event.currentTarget)
    const body = {
      ...values,
      account_id,
      corrects,
      amount: values.amount.trim(),
      reason: values.reason.trim(),
    }
    add.mutate(body, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title="Add Adjustment"
      onClose={onClose}
      onSubmit={submit}
      submit="Add Adjustment"
      busy={add.isPending}
      reason={corrects === '' ? 'No month is closed yet. An open month needs no correction.' : null}
      problem={unplaced(refusal)}
    >
      <SelectField
        label="Account"
        choices={(accounts.data ?? []).map(({ id, name }) => ({ id, label: name }))}
        value={account_id}
        onChange={(id) => set({ account_id: id })}
      />
      <SelectField
        label="Month that is corrected"
        choices={closed.map(({ month }) => ({ id: month, label: monthName(month) }))}
        value={corrects}
        onChange={(month) => set({ corrects: month })}
      />
      <TextField
        label="Amount"
        value={values.amount}
        onChange={(amount) => set({ amount })}
        help="Negative for a credit. It is charged in the current month."
        problem={said('amount')}
      />
      <TextField
        label="Currency"
        value={values.currency}
        onChange={(currency) => set({ currency })}
        problem={said('currency')}
      />
      <TextField
        label="Reason"
        value={values.reason}
        onChange={(reason) => set({ reason })}
        problem={said('reason')}
      />
    </FormDialog>
  )
}
