/** Shares of images: those of an image of this account, and those that other accounts offer. */
import { infiniteQueryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { Share, ShareCreate } from '../types'

/** The number of rows in one page of a list. */
const PAGE_SIZE = 50

/** The shares of an image, latest first, for its owner. */
export const sharesOfImageQuery = (id: string) =>
  infiniteQueryOptions({
    queryKey: keys.shares.ofImage(id),
    queryFn: ({ signal, pageParam }) =>
      unwrap(
        client.GET('/api/v1/images/{id}/shares', {
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

/** What other accounts offer to this one and share with it, latest first. */
export const incomingSharesQuery = infiniteQueryOptions({
  queryKey: keys.shares.incoming,
  queryFn: ({ signal, pageParam }) =>
    unwrap(
      client.GET('/api/v1/shares', {
        params: { query: { limit: PAGE_SIZE, ...(pageParam ? { page_token: pageParam } : {}) } },
        signal,
      }),
    ),
  initialPageParam: '',
  getNextPageParam: (page) => page.next_page_token ?? undefined,
})

export function useOfferImage() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: ({ imageId, body }: { imageId: string; body: ShareCreate }) =>
      unwrap(
        client.POST('/api/v1/images/{id}/shares', {
          params: { path: { id: imageId }, header: { 'Idempotency-Key': keyOf({ imageId, body }) } },
          body,
        }),
      ),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.shares.all }),
  })
}

export type ShareAction = 'accept' | 'reject' | 'revoke' | 'leave'

export function useShareAction() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ id, action }: { id: Share['id']; action: ShareAction }) =>
      unwrap(client.POST(`/api/v1/shares/{id}/actions/${action}`, { params: { path: { id } } })),
    onSettled: () => {
      void cache.invalidateQueries({ queryKey: keys.shares.all })
      // The image appears or disappears with the share.
      void cache.invalidateQueries({ queryKey: keys.images.lists })
    },
  })
}
