import { useQuery } from '@tanstack/react-query'
import { explainQuery } from '@/api/queries/billing'
import type { UsageLine, UsageTerm } from '@/api/types'
import { moneyText, quantityText } from '@/lib/figures'
import { formatBytes } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { Dialog, DialogActions, DialogBody } from '@/ui/Dialog'
import { ProblemNotice } from '@/ui/Notice'
import { Facts, MutedText, Skeleton } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'
import { lineName } from './lines'

interface TermRow extends UsageTerm {
  id: string
}

const COLUMNS: Column<TermRow>[] = [
  {
    id: 'from',
    name: 'From',
    nowrap: true,
    cell: ({ from }) => <time title={from}>{formatInstant(from)}</time>,
  },
  { id: 'to', name: 'Until', nowrap: true, cell: ({ to }) => <time title={to}>{formatInstant(to)}</time> },
  {
    id: 'size',
    name: 'Size',
    align: 'end',
    nowrap: true,
    cell: ({ bytes }) => (
      <span title={bytes === null ? undefined : `${bytes} bytes`}>{formatBytes(bytes)}</span>
    ),
  },
  { id: 'formula', name: 'Computed', cell: ({ formula }) => formula },
]

/** Shows how a charge came about: its times, its rate, the formula and the rounding. */
export function ExplainDialog(props: { line: UsageLine; period: string; onClose: () => void }) {
  const { line, period, onClose } = props
  const explanation = useQuery(explainQuery(line.id, period))
  const data = explanation.data
  return (
    <Dialog title={`How the charge of ${lineName(line)} came about`} isOpen onClose={onClose}>
      <DialogBody>
        {explanation.isPending && <Skeleton label="Loading the explanation" />}
        {explanation.isError && (
          <ProblemNotice
            problem={asProblem(explanation.error)}
            actions={<Button onPress={() => void explanation.refetch()}>Try again</Button>}
          />
        )}
        {data && (
          <>
            <Table
              label="Times that count"
              columns={COLUMNS}
              items={data.terms.map((term) => ({ ...term, id: `${term.from} ${term.to} ${term.bytes}` }))}
            />
            <Facts
              facts={[
                { name: 'Rate', value: data.line.rate ?? 'None: nothing is charged', wide: true },
                { name: 'Version of the rate', value: data.line.rate_id ?? 'None' },
                { name: 'Hours per month', value: quantityText(data.hours_per_month) },
                { name: 'GB-hours', value: quantityText(data.line.gb_hours, 9) },
                { name: 'GB-months', value: quantityText(data.line.gb_months, 9) },
                { name: 'Formula', value: data.formula ?? 'None', wide: true },
                { name: 'Before rounding', value: data.exact ?? 'None', wide: true },
                { name: 'Charge', value: data.line.charge ? moneyText(data.line.charge) : 'None' },
              ]}
            />
            <MutedText>
              {data.rounding} Months are of the time zone {data.time_zone}; the times above are of yours.
            </MutedText>
          </>
        )}
      </DialogBody>
      <DialogActions>
        <Button onPress={onClose}>Close</Button>
      </DialogActions>
    </Dialog>
  )
}
