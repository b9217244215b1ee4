/** Webhooks: where the account has its events sent to. */
import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { keys } from '../keys'
import type { Webhook, WebhookPatch } from '../types'

/** An account has at most 100. */
const ALL = 100
/** The number of rows in one page of the deliveries. */
const PAGE_SIZE = 50
/** How often the state of deliveries is asked for while it is shown: no event says that it changed. */
const POLL_MS = 5000

const MERGE_PATCH = { 'Content-Type': 'application/merge-patch+json' }

export const webhooksQuery = queryOptions({
  queryKey: keys.webhooks.list,
  refetchInterval: POLL_MS,
  queryFn: async ({ signal }) =>
    (await unwrap(client.GET('/api/v1/webhooks', { params: { query: { limit: ALL } }, signal }))).items,
})

/** The attempts to deliver messages, latest first. */
export const deliveriesQuery = (id: string) =>
  infiniteQueryOptions({
    queryKey: keys.webhooks.deliveries(id),
    refetchInterval: POLL_MS,
    queryFn: ({ signal, pageParam }) =>
      unwrap(
        client.GET('/api/v1/webhooks/{id}/deliveries', {
          params: {
            path: { id },
            query: { limit: PAGE_SIZE, ...(pageParam ? { page_token: pageParam } : {}) },
          },
          signal,
        }),
      ),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_page_token ?? undefined,
  })

function useChange<Input, Answer>(change: (input: Input) => Promise<Answer>) {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: change,
    onSettled: () => cache.invalidateQueries({ queryKey: keys.webhooks.all }),
  })
}

export const useAddWebhook = () =>
  useChange((body: { name: string; url: string; events: string[] }) =>
    unwrap(client.POST('/api/v1/webhooks', { body })),
  )

export const useEditWebhook = () =>
  useChange(({ webhook, body }: { webhook: Webhook; body: WebhookPatch }) =>
    unwrap(
      client.PATCH('/api/v1/webhooks/{id}', {
        params: { path: { id: webhook.id }, header: { 'If-Match': `"${webhook.version}"` } },
        body,
        headers: MERGE_PATCH,
      }),
    ),
  )

export const useDeleteWebhook = () =>
  useChange(({ id }: Webhook) => unwrap(client.DELETE('/api/v1/webhooks/{id}', { params: { path: { id } } })))

export const useRotateSecret = () =>
  useChange(({ id }: Webhook) =>
    unwrap(client.POST('/api/v1/webhooks/{id}/actions/rotate-secret', { params: { path: { id } } })),
  )

export const useTestWebhook = () =>
  useChange(({ id }: Webhook) =>
    unwrap(client.POST('/api/v1/webhooks/{id}/actions/test', { params: { path: { id } } })),
  )

export const useRedeliver = () =>
  useChange(({ id, sequence }: { id: string; sequence: number }) =>
    unwrap(
      client.POST('/api/v1/webhooks/{id}/actions/redeliver', {
        params: { path: { id } },
        body: { sequence },
      }),
    ),
  )
