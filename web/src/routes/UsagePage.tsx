import { useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { useState } from 'react'
import { budgetQuery, reportUrl, type UsageFilter, usageDaysQuery, usageQuery } from '@/api/queries/billing'
import { locationsQuery } from '@/api/queries/catalogue'
import type { UsageLine, UsageReport } from '@/api/types'
import { BudgetDialog } from '@/features/usage/BudgetDialog'
import { ExplainDialog } from '@/features/usage/ExplainDialog'
import { UsageCharts } from '@/features/usage/UsageChart'
import { UsageLines } from '@/features/usage/UsageLines'
import { currenciesOf, moneyText, monthName, monthOf, monthsToPick, totalsText } from '@/lib/figures'
import { asProblem } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { FilterBar, SelectBox } from '@/ui/Filter'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { Card, Facts, MutedText, PageHeader, Skeleton, Stack } from '@/ui/Page'
import { useTitle } from './use-title'

export function UsagePage() {
  useTitle('Cloud Usage')
  const navigate = useNavigate()
  const search = useSearch({ from: '/shell/usage' })
  const filter: UsageFilter = {
    ...(search.period ? { period: search.period } : {}),
    ...(search.location ? { location_id: search.location } : {}),
  }
  const report = useQuery(usageQuery(filter))
  const shown = search.period ?? report.data?.month ?? monthOf(Date.now())
  const locations = useQuery(locationsQuery)
  const change = (patch: { period?: string | undefined; location?: string | undefined }) => {
    const next = Object.entries({ ...search, ...patch }).filter(([, value]) => value !== undefined)
    void navigate({ to: '/usage', search: Object.fromEntries(next), replace: true })
  }
  return (
    <Stack>
      <PageHeader title="Cloud Usage">
        What images and instances took and what it costs, also of those that are deleted.
      </PageHeader>
      <FilterBar>
        <SelectBox
          label="Month"
          choices={monthsToPick(report.data?.month, Date.now()).map((id) => ({ id, label: monthName(id) }))}
          value={shown}
          onChange={(picked) => change({ period: picked })}
        />
        <SelectBox
          label="Location"
          any="All locations"
          choices={(locations.data ?? []).map(({ id, name }) => ({ id, label: name }))}
          value={search.location}
          onChange={(location) => change({ location })}
        />
      </FilterBar>
      {report.isPending && <Skeleton label="Loading the report" />}
      {report.isError && !report.data && (
        <ProblemNotice
          problem={asProblem(report.error)}
          actions={<Button onPress={() => void report.refetch()}>Try again</Button>}
        />
      )}
      {report.data && <Report report={report.data} filter={filter} month={shown} />}
    </Stack>
  )
}

function Report({ report, filter, month }: { report: UsageReport; filter: UsageFilter; month: string }) {
  const [explained, setExplained] = useState<UsageLine | null>(null)
  const days = useQuery(usageDaysQuery(filter))
  return (
    <>
      <Card title="Summary">
        <Facts
          facts={[
            { name: report.estimate ? 'Cost so far' : 'Total', value: totalsText(report.totals) },
            ...(report.estimate
              ? [{ name: 'Forecast of the month', value: totalsText(report.estimate.forecast) }]
              : []),
            {
              name: 'State',
              value: report.closed_at
                ? `Closed ${formatInstant(report.closed_at)}`
                : 'Open: figures may change',
            },
            { name: 'Time zone of the month', value: report.time_zone },
            {
              name: 'Download',
              value: (
                <>
                  <a href={reportUrl(filter, 'csv')} download={`usage-${month}.csv`}>
                    CSV
                  </a>{' '}
                  <a href={reportUrl(filter, 'focus')} download={`usage-${month}-focus.csv`}>
                    FOCUS CSV
                  </a>{' '}
                  <a href={reportUrl(filter, 'json')} download={`usage-${month}.json`}>
                    JSON
                  </a>
                </>
              ),
            },
          ]}
        />
        <MutedText>{report.rounding}</MutedText>
      </Card>
      <BudgetCard currency={report.totals[0]?.currency ?? 'EUR'} />
      {days.data && days.data.items.length > 0 && (
        <Card title="Days">
          <UsageCharts days={days.data.items} currencies={currenciesOf(days.data.items)} />
        </Card>
      )}
      <UsageLines title="Images" section={report.images} onExplain={setExplained} />
      <UsageLines title="Instances" section={report.instances} onExplain={setExplained} />
      {report.adjustments.length > 0 && (
        <Card title="Corrections of earlier months">
          <Facts
            facts={report.adjustments.map(({ corrects, reason, charge }) => ({
              name: `${monthName(corrects)}: ${reason}`,
              value: moneyText(charge),
            }))}
          />
        </Card>
      )}
      {explained && <ExplainDialog line={explained} period={month} onClose={() => setExplained(null)} />}
    </>
  )
}

function BudgetCard({ currency }: { currency: string }) {
  const budget = useQuery(budgetQuery)
  const [isEditing, setEditing] = useState(false)
  if (!budget.data) return null
  const { notify_amount, stop_amount, stopped, currency: own } = budget.data
  const amount = (value: string | null) => (value === null ? 'None' : `${value} ${own ?? currency}`)
  return (
    <Card title="Budget" actions={<Button onPress={() => setEditing(true)}>Change Budget</Button>}>
      {stopped && (
        <Notice tone="warn" title="New images are refused">
          <p>This month has reached the amount at which your provider stops new images.</p>
        </Notice>
      )}
      <Facts
        facts={[
          { name: 'You are notified at', value: amount(notify_amount) },
          { name: 'New images stop at', value: amount(stop_amount) },
        ]}
      />
      {isEditing && (
        <BudgetDialog budget={budget.data} currency={currency} onClose={() => setEditing(false)} />
      )}
    </Card>
  )
}
