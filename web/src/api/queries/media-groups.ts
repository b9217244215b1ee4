/** Media groups: what stock images are shown together. Only admins change them. */
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { MediaGroup, MediaGroupCreate, MediaGroupPatch } from '../types'

/** All groups in their order; for customers without the hidden ones. */
export const mediaGroupsQuery = queryOptions({
  queryKey: keys.mediaGroups,
  queryFn: async ({ signal }) => (await unwrap(client.GET('/api/v1/media-groups', { signal }))).items,
})

/** Returns the entity tag of a group's version, for `If-Match`. */
const etag = (group: MediaGroup) => `"${group.version}"`

export function useAddMediaGroup() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: MediaGroupCreate) =>
      unwrap(
        client.POST('/api/v1/admin/media-groups', {
          params: { header: { 'Idempotency-Key': keyOf(body) } },
          body,
        }),
      ),
    onSuccess: () => cache.invalidateQueries({ queryKey: keys.mediaGroups }),
  })
}

export function useEditMediaGroup() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ group, patch }: { group: MediaGroup; patch: MediaGroupPatch }) =>
      unwrap(
        client.PATCH('/api/v1/admin/media-groups/{id}', {
          params: { path: { id: group.id }, header: { 'If-Match': etag(group) } },
          body: patch,
          headers: { 'Content-Type': 'application/merge-patch+json' },
        }),
      ),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.mediaGroups }),
  })
}

export function useDeleteMediaGroup() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (group: MediaGroup) =>
      unwrap(
        client.DELETE('/api/v1/admin/media-groups/{id}', {
          params: { path: { id: group.id }, header: { 'If-Match': etag(group) } },
        }),
      ),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.mediaGroups }),
  })
}
