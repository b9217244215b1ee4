import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { keys } from '../keys'

export const accountQuery = queryOptions({
  queryKey: keys.account,
  queryFn: ({ signal }) => unwrap(client.GET('/api/v1/account', { signal })),
  staleTime: Number.POSITIVE_INFINITY,
})

export const useAccount = () => useQuery(accountQuery)

export function useSignIn() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (body: { account: string; password: string }) =>
      unwrap(client.POST('/api/v1/sessions', { body })),
    // No data of the previous account may remain.
    onSuccess: () => cache.clear(),
  })
}

export function useSignOut() {
  return useMutation({ mutationFn: () => unwrap(client.DELETE('/api/v1/sessions/current')) })
}
