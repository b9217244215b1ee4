import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { answer, client } from '../client'
import { keys } from '../keys'

export const accountQuery = queryOptions({
  queryKey: keys.account,
  queryFn: ({ signal }) => answer(client.GET('/api/v1/account', { signal })),
  staleTime: Number.POSITIVE_INFINITY,
})

export const useAccount = () => useQuery(accountQuery)

export function useSignIn() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (body: { account: string; password: string }) =>
      answer(client.POST('/api/v1/sessions', { body })),
    // Whoever was signed in before leaves nothing behind.
    onSuccess: () => cache.clear(),
  })
}

export function useSignOut() {
  return useMutation({ mutationFn: () => answer(client.DELETE('/api/v1/sessions/current')) })
}
