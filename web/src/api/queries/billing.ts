/** Usage and billing: of the own account, and of all accounts for admins. */
import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type {
  AdjustmentCreate,
  BudgetUpdate,
  RateCreate,
  RateEnd,
  RatePreviewRequest,
  UsageReport,
} from '../types'

/** The number of rows in one page of a list. */
const PAGE_SIZE = 50

export interface UsageFilter {
  /** The month; the server's current one without it. */
  period?: string
  location_id?: string
}

/** Figures of the running hour change all the time; a minute is soon enough. */
const FRESH_MS = 60_000

export const usageQuery = (filter: UsageFilter) =>
  queryOptions({
    queryKey: keys.usage.report(filter),
    staleTime: FRESH_MS,
    // The document also has the answer as a table, which comes only with `format`.
    queryFn: ({ signal }) =>
      unwrap(client.GET('/api/v1/usage', { params: { query: filter }, signal })) as Promise<UsageReport>,
  })

export const usageDaysQuery = (filter: UsageFilter) =>
  queryOptions({
    queryKey: keys.usage.days(filter),
    staleTime: FRESH_MS,
    queryFn: ({ signal }) => unwrap(client.GET('/api/v1/usage/days', { params: { query: filter }, signal })),
  })

export const explainQuery = (line: string, period: string) =>
  queryOptions({
    queryKey: keys.usage.explain(line, period),
    queryFn: ({ signal }) =>
      unwrap(client.GET('/api/v1/usage/explain', { params: { query: { line, period } }, signal })),
  })

export const budgetQuery = queryOptions({
  queryKey: keys.usage.budget,
  queryFn: ({ signal }) => unwrap(client.GET('/api/v1/usage/budget', { signal })),
})

/** The address of a report as a file, which the browser downloads. */
export const reportUrl = (filter: UsageFilter, format: 'csv' | 'focus' | 'json'): string =>
  `/api/v1/usage?${new URLSearchParams({ ...filter, format })}`

export function useSetBudget() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (body: BudgetUpdate) => unwrap(client.PUT('/api/v1/usage/budget', { body })),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.usage.budget }),
  })
}

/** The budget of any account, for admins. */
export const accountBudgetQuery = (id: string) =>
  queryOptions({
    queryKey: keys.billing.budget(id),
    queryFn: ({ signal }) =>
      unwrap(client.GET('/api/v1/admin/accounts/{id}/budget', { params: { path: { id } }, signal })),
  })

export function useSetAccountBudget() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ id, body }: { id: string; body: BudgetUpdate }) =>
      unwrap(client.PUT('/api/v1/admin/accounts/{id}/budget', { params: { path: { id } }, body })),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.billing.all }),
  })
}

/** What all accounts used in a month; the server's current one without it. */
export const billingUsageQuery = (period: string | undefined) =>
  queryOptions({
    queryKey: keys.billing.usage(period),
    staleTime: FRESH_MS,
    queryFn: ({ signal }) =>
      unwrap(
        client.GET('/api/v1/admin/billing/usage', {
          params: { query: period ? { period } : {} },
          signal,
        }),
      ),
  })

export const ratesQuery = queryOptions({
  queryKey: keys.billing.rates,
  queryFn: async ({ signal }) => (await unwrap(client.GET('/api/v1/admin/billing/rates', { signal }))).items,
})

export function useAddRate() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: RateCreate) =>
      unwrap(
        client.POST('/api/v1/admin/billing/rates', {
          params: { header: { 'Idempotency-Key': keyOf(body) } },
          body,
        }),
      ),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.billing.all }),
  })
}

export function useEndRate() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: RateEnd) =>
      unwrap(
        client.POST('/api/v1/admin/billing/rates/end', {
          params: { header: { 'Idempotency-Key': keyOf(body) } },
          body,
        }),
      ),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.billing.all }),
  })
}

export function usePreviewRate() {
  return useMutation({
    mutationFn: (body: RatePreviewRequest) =>
      unwrap(client.POST('/api/v1/admin/billing/rates/preview', { body })),
  })
}

export const monthsQuery = queryOptions({
  queryKey: keys.billing.months,
  queryFn: async ({ signal }) => (await unwrap(client.GET('/api/v1/admin/billing/months', { signal }))).items,
})

export function useCloseMonth() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (month: string) =>
      unwrap(client.POST('/api/v1/admin/billing/months/{month}/close', { params: { path: { month } } })),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.billing.all }),
  })
}

/** The corrections of closed months, latest first. */
export const adjustmentsQuery = infiniteQueryOptions({
  queryKey: keys.billing.adjustments,
  queryFn: ({ signal, pageParam }) =>
    unwrap(
      client.GET('/api/v1/admin/billing/adjustments', {
        params: { query: { limit: PAGE_SIZE, ...(pageParam ? { page_token: pageParam } : {}) } },
        signal,
      }),
    ),
  initialPageParam: '',
  getNextPageParam: (page) => page.next_page_token ?? undefined,
})

export function useAddAdjustment() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: AdjustmentCreate) =>
      unwrap(
        client.POST('/api/v1/admin/billing/adjustments', {
          params: { header: { 'Idempotency-Key': keyOf(body) } },
          body,
        }),
      ),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.billing.all }),
  })
}

export function useReconcile() {
  return useMutation({
    mutationFn: (period: string) =>
      unwrap(client.GET('/api/v1/admin/billing/reconciliation', { params: { query: { period } } })),
  })
}
