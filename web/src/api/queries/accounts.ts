/** The accounts of all customers. For admins only. */
import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { keys } from '../keys'
import type { Account, AccountCreate, AccountPatch, Page } from '../types'

/** The most accounts of one request. */
const PAGE_SIZE = 500

export const accountsQuery = queryOptions({
  queryKey: keys.accounts,
  queryFn: async ({ signal }): Promise<Account[]> => {
    const accounts: Account[] = []
    let token: string | null | undefined = ''
    while (token != null) {
      const page: Page<Account> = await unwrap(
        client.GET('/api/v1/admin/accounts', {
          params: { query: { limit: PAGE_SIZE, ...(token ? { page_token: token } : {}) } },
          signal,
        }),
      )
      accounts.push(...page.items)
      token = page.next_page_token
    }
    return accounts
  },
})

export const useAccounts = () => useQuery(accountsQuery)

export function useCreateAccount() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (body: AccountCreate) => unwrap(client.POST('/api/v1/admin/accounts', { body })),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.accounts }),
  })
}

export function useEditAccount() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ account, patch }: { account: Account; patch: AccountPatch }) =>
      unwrap(
        client.PATCH('/api/v1/admin/accounts/{id}', {
          params: { path: { id: account.id } },
          body: patch,
          headers: { 'Content-Type': 'application/merge-patch+json' },
        }),
      ),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.accounts }),
  })
}
