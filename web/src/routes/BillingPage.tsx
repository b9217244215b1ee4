import { useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { billingUsageQuery } from '@/api/queries/billing'
import { Adjustments } from '@/features/billing/Adjustments'
import { BillingMonths } from '@/features/billing/BillingMonths'
import { BillingTotals } from '@/features/billing/BillingTotals'
import { RateHistory } from '@/features/billing/RateHistory'
import { monthName, monthOf, monthsToPick } from '@/lib/figures'
import { BILLING_TABS } from '@/lib/search'
import { FilterBar, SelectBox } from '@/ui/Filter'
import { PageHeader, Stack } from '@/ui/Page'
import { Tabs } from '@/ui/Tabs'
import { useTitle } from './use-title'

export function BillingPage() {
  useTitle('Billing')
  const navigate = useNavigate()
  const search = useSearch({ from: '/shell/admin/billing' })
  const { period } = search
  const usage = useQuery(billingUsageQuery(period))
  const shown = period ?? usage.data?.month ?? monthOf(Date.now())
  return (
    <Stack>
      <PageHeader title="Billing">
        What all accounts are charged, by which rates, and the months that are closed.
      </PageHeader>
      <FilterBar>
        <SelectBox
          label="Month"
          choices={monthsToPick(usage.data?.month, Date.now()).map((id) => ({ id, label: monthName(id) }))}
          value={shown}
          onChange={(picked) =>
            void navigate({
              to: '/billing',
              search: { ...search, ...(picked ? { period: picked } : {}) },
              replace: true,
            })
          }
        />
      </FilterBar>
      <Tabs
        label="Billing"
        selected={search.tab ?? 'usage'}
        onSelect={(id) => {
          const tab = BILLING_TABS.find((known) => known === id)
          const kept = search.period ? { period: search.period } : {}
          void navigate({ to: '/billing', search: { ...kept, ...(tab ? { tab } : {}) }, replace: true })
        }}
        tabs={[
          { id: 'usage', label: 'Usage', content: <BillingTotals period={period} /> },
          { id: 'rates', label: 'Rates', content: <RateHistory period={period} /> },
          { id: 'months', label: 'Months', content: <BillingMonths /> },
          { id: 'adjustments', label: 'Adjustments', content: <Adjustments /> },
        ]}
      />
    </Stack>
  )
}
