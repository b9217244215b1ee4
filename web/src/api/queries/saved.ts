/** What the account has saved for new instances: SSH keys and user scripts. */
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { SshKey, UserScript } from '../types'

/** An account has at most 100 of each. */
const ALL = 100

const MERGE_PATCH = { 'Content-Type': 'application/merge-patch+json' }

/** Returns the entity tag of a version, for `If-Match`. */
const etag = ({ version }: { version: number }) => `"${version}"`

export const sshKeysQuery = queryOptions({
  queryKey: keys.sshKeys,
  queryFn: async ({ signal }) =>
    (await unwrap(client.GET('/api/v1/ssh-keys', { params: { query: { limit: ALL } }, signal }))).items,
})

export function useAddSshKey() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: { name: string; public_key: string }) =>
      unwrap(
        client.POST('/api/v1/ssh-keys', { params: { header: { 'Idempotency-Key': keyOf(body) } }, body }),
      ),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.sshKeys }),
  })
}

export function useRenameSshKey() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ key, name }: { key: SshKey; name: string }) =>
      unwrap(
        client.PATCH('/api/v1/ssh-keys/{id}', {
          params: { path: { id: key.id }, header: { 'If-Match': etag(key) } },
          body: { name },
          headers: MERGE_PATCH,
        }),
      ),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.sshKeys }),
  })
}

export function useDeleteSshKey() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (key: SshKey) =>
      unwrap(client.DELETE('/api/v1/ssh-keys/{id}', { params: { path: { id: key.id } } })),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.sshKeys }),
  })
}

export const userScriptsQuery = queryOptions({
  queryKey: keys.userScripts.list,
  queryFn: async ({ signal }) =>
    (await unwrap(client.GET('/api/v1/user-scripts', { params: { query: { limit: ALL } }, signal }))).items,
})

/** A script with its content, which lists do not have. */
export const userScriptQuery = (id: string) =>
  queryOptions({
    queryKey: keys.userScripts.one(id),
    queryFn: ({ signal }) =>
      unwrap(client.GET('/api/v1/user-scripts/{id}', { params: { path: { id } }, signal })),
    // An editor begins with what is stored now.
    staleTime: 0,
    gcTime: 0,
  })

interface ScriptFields {
  name: string
  content: string
}

export function useAddUserScript() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: ScriptFields) =>
      unwrap(
        client.POST('/api/v1/user-scripts', { params: { header: { 'Idempotency-Key': keyOf(body) } }, body }),
      ),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.userScripts.all }),
  })
}

export function useEditUserScript() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ script, fields }: { script: UserScript; fields: ScriptFields }) =>
      unwrap(
        client.PATCH('/api/v1/user-scripts/{id}', {
          params: { path: { id: script.id }, header: { 'If-Match': etag(script) } },
          body: fields,
          headers: MERGE_PATCH,
        }),
      ),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.userScripts.all }),
  })
}

export function useDeleteUserScript() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (script: UserScript) =>
      unwrap(client.DELETE('/api/v1/user-scripts/{id}', { params: { path: { id: script.id } } })),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.userScripts.all }),
  })
}
