/** Usage and billing: of the own account, and of all accounts for admins. */
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import type {
  Adjustment,
  AdjustmentCreate,
  BillingMonth,
  BillingUsage,
  Budget,
  BudgetUpdate,
  Rate,
  RateCreate,
  RatePreview,
  RateTerms,
  Reconciliation,
  UsageDays,
  UsageExplanation,
  UsageReport,
} from '../billing-types'
import { client, unwrap } from '../client'
import { keys } from '../keys'
import type { Page } from '../types'

interface Options {
  params?: { query?: object; path?: object }
  body?: object
  signal?: AbortSignal
}
type Call = (
  path: string,
  options: Options,
) => Promise<{ data?: unknown; error?: unknown; response: Response }>

/** The client for paths that are typed here and not by the OpenAPI document. */
const { GET, POST, PUT } = client as unknown as Record<'GET' | 'POST' | 'PUT', Call>

const call = <T>(method: Call, path: string, options: Options = {}): Promise<T> =>
  unwrap<T>(method(path, options) as Promise<{ data?: T; error?: unknown; response: Response }>)

export interface UsageFilter {
  period: string
  location_id?: string
}

/** Figures of the running hour change all the time; a minute is soon enough. */
const FRESH_MS = 60_000

export const usageQuery = (filter: UsageFilter) =>
  queryOptions({
    queryKey: keys.usage.report(filter),
    staleTime: FRESH_MS,
    queryFn: ({ signal }) => call<UsageReport>(GET, '/api/v1/usage', { params: { query: filter }, signal }),
  })

export const usageDaysQuery = (filter: UsageFilter) =>
  queryOptions({
    queryKey: keys.usage.days(filter),
    staleTime: FRESH_MS,
    queryFn: ({ signal }) =>
      call<UsageDays>(GET, '/api/v1/usage/days', { params: { query: filter }, signal }),
  })

export const explainQuery = (line: string, period: string) =>
  queryOptions({
    queryKey: keys.usage.explain(line, period),
    queryFn: ({ signal }) =>
      call<UsageExplanation>(GET, '/api/v1/usage/explain', { params: { query: { line, period } }, signal }),
  })

export const budgetQuery = queryOptions({
  queryKey: keys.usage.budget,
  queryFn: ({ signal }) => call<Budget>(GET, '/api/v1/usage/budget', { signal }),
})

/** The address of a report as a file, which the browser downloads. */
export const reportUrl = (filter: UsageFilter, format: 'csv' | 'focus' | 'json'): string =>
  `/api/v1/usage?${new URLSearchParams({ ...filter, format })}`

export function useSetBudget() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (body: BudgetUpdate) => call<Budget>(PUT, '/api/v1/usage/budget', { body }),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.usage.budget }),
  })
}

export function useSetAccountBudget() {
  return useMutation({
    mutationFn: ({ id, body }: { id: string; body: BudgetUpdate }) =>
      call<Budget>(PUT, '/api/v1/admin/accounts/{id}/budget', { params: { path: { id } }, body }),
  })
}

export const billingUsageQuery = (period: string) =>
  queryOptions({
    queryKey: keys.billing.usage(period),
    staleTime: FRESH_MS,
    queryFn: ({ signal }) =>
      call<BillingUsage>(GET, '/api/v1/admin/billing/usage', { params: { query: { period } }, signal }),
  })

export const ratesQuery = queryOptions({
  queryKey: keys.billing.rates,
  queryFn: async ({ signal }) =>
    (await call<{ items: Rate[] }>(GET, '/api/v1/admin/billing/rates', { signal })).items,
})

export function useAddRate() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (body: RateCreate) => call<Rate>(POST, '/api/v1/admin/billing/rates', { body }),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.billing.all }),
  })
}

export interface PreviewRequest {
  month: string
  location_id: string
  account_id?: string
  terms: RateTerms
}

export function usePreviewRate() {
  return useMutation({
    mutationFn: (body: PreviewRequest) =>
      call<RatePreview>(POST, '/api/v1/admin/billing/rates/preview', { body }),
  })
}

export const monthsQuery = queryOptions({
  queryKey: keys.billing.months,
  queryFn: async ({ signal }) =>
    (await call<{ items: BillingMonth[] }>(GET, '/api/v1/admin/billing/months', { signal })).items,
})

export function useCloseMonth() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (month: string) =>
      call<BillingMonth>(POST, '/api/v1/admin/billing/months/{month}/close', { params: { path: { month } } }),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.billing.all }),
  })
}

export const adjustmentsQuery = queryOptions({
  queryKey: keys.billing.adjustments,
  queryFn: async ({ signal }) =>
    (await call<Page<Adjustment>>(GET, '/api/v1/admin/billing/adjustments', { signal })).items,
})

export function useAddAdjustment() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (body: AdjustmentCreate) =>
      call<Adjustment>(POST, '/api/v1/admin/billing/adjustments', { body }),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.billing.all }),
  })
}

export function useReconcile() {
  return useMutation({
    mutationFn: (period: string) =>
      call<Reconciliation>(GET, '/api/v1/admin/billing/reconciliation', { params: { query: { period } } }),
  })
}
