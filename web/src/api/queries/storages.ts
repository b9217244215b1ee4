/** Image storages, their kinds, and the hypervisors that they are bound to. For admins only. */
import { queryOptions, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { applyChange } from '../cache'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type {
  ImageStorage,
  ImageStorageCreate,
  ImageStoragePatch,
  StorageTestCreate,
  StoredStorageTest,
} from '../types'

export interface StorageFilter {
  role?: 'customer' | 'stock' | 'iso'
  state?: 'active' | 'read_only' | 'draining'
}

/** Free room changes with every report of an agent; only a changed health is an event. */
const REPORT_MS = 10_000

/** The most storages of a list: a provider has some ten. */
const MAX_STORAGES = 500

export const storagesQuery = (filter: StorageFilter) =>
  queryOptions({
    queryKey: keys.storages.list(filter),
    queryFn: async ({ signal }) =>
      (
        await unwrap(
          client.GET('/api/v1/admin/image-storages', {
            params: { query: { ...filter, limit: MAX_STORAGES } },
            signal,
          }),
        )
      ).items,
    refetchInterval: REPORT_MS,
  })

export const storageQuery = (id: string) =>
  queryOptions({
    queryKey: keys.storages.one(id),
    queryFn: ({ signal }) =>
      unwrap(client.GET('/api/v1/admin/image-storages/{id}', { params: { path: { id } }, signal })),
    refetchInterval: REPORT_MS,
  })

export const storageKindsQuery = queryOptions({
  queryKey: keys.storageKinds,
  queryFn: async ({ signal }) => (await unwrap(client.GET('/api/v1/admin/storage-kinds', { signal }))).items,
})

export const useStorageKinds = () => useQuery(storageKindsQuery)

/** Returns the entity tag of a storage's version, for `If-Match`. */
const etag = (storage: ImageStorage) => `"${storage.version}"`

/** Returns a function that writes a changed storage into the cache. */
function useStored(): (storage: ImageStorage) => void {
  const cache = useQueryClient()
  return (storage) => {
    cache.setQueryData(keys.storages.one(storage.id), storage)
    void cache.invalidateQueries({ queryKey: keys.storages.lists })
  }
}

export function useCreateStorage() {
  const stored = useStored()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: ImageStorageCreate) =>
      unwrap(
        client.POST('/api/v1/admin/image-storages', {
          params: { header: { 'Idempotency-Key': keyOf(body) } },
          body,
        }),
      ),
    onSuccess: stored,
  })
}

export function useEditStorage() {
  const cache = useQueryClient()
  const stored = useStored()
  return useMutation({
    mutationFn: ({ storage, patch }: { storage: ImageStorage; patch: ImageStoragePatch }) =>
      unwrap(
        client.PATCH('/api/v1/admin/image-storages/{id}', {
          params: { path: { id: storage.id }, header: { 'If-Match': etag(storage) } },
          body: patch,
          headers: { 'Content-Type': 'application/merge-patch+json' },
        }),
      ),
    onSuccess: stored,
    // The version that was refused is out of date: load the current one.
    onError: () => cache.invalidateQueries({ queryKey: keys.storages.all }),
  })
}

export function useDeleteStorage() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (storage: ImageStorage) =>
      unwrap(
        client.DELETE('/api/v1/admin/image-storages/{id}', {
          params: { path: { id: storage.id }, header: { 'If-Match': etag(storage) } },
        }),
      ),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.storages.lists }),
  })
}

export function useBindStorage() {
  const stored = useStored()
  return useMutation({
    mutationFn: ({ storage, hypervisorId }: { storage: ImageStorage; hypervisorId: string }) =>
      unwrap(
        client.PUT('/api/v1/admin/image-storages/{id}/hypervisors/{hypervisor_id}', {
          params: { path: { id: storage.id, hypervisor_id: hypervisorId } },
        }),
      ),
    onSuccess: stored,
  })
}

export function useUnbindStorage() {
  const stored = useStored()
  return useMutation({
    mutationFn: ({
      storage,
      hypervisorId,
      force,
    }: {
      storage: ImageStorage
      hypervisorId: string
      force: boolean
    }) =>
      unwrap(
        client.DELETE('/api/v1/admin/image-storages/{id}/hypervisors/{hypervisor_id}', {
          params: { path: { id: storage.id, hypervisor_id: hypervisorId }, query: { force } },
        }),
      ),
    onSuccess: stored,
  })
}

/** Sets secrets of a storage; `null` removes one. */
export function useEditSecrets() {
  const stored = useStored()
  return useMutation({
    mutationFn: ({ storage, secrets }: { storage: ImageStorage; secrets: Record<string, string | null> }) =>
      unwrap(
        client.PATCH('/api/v1/admin/image-storages/{id}/secrets', {
          params: { path: { id: storage.id } },
          body: { secrets },
        }),
      ),
    onSuccess: stored,
  })
}

/**
 * What a connection test is made of: a stored storage, perhaps with changes that are not stored, or
 * settings that are not stored yet.
 */
export type TestSubject =
  | ({ storageId: string } & Omit<StoredStorageTest, 'hypervisor_id'>)
  | Omit<StorageTestCreate, 'hypervisor_id'>

/** Starts a connection test and returns its task, which has the result when it is over. */
export function useTestStorage() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ subject, hypervisorId }: { subject: TestSubject; hypervisorId: string }) => {
      if (!('storageId' in subject)) {
        const body = { ...subject, hypervisor_id: hypervisorId }
        return unwrap(client.POST('/api/v1/admin/image-storages/actions/test', { body }))
      }
      const { storageId, ...changes } = subject
      return unwrap(
        client.POST('/api/v1/admin/image-storages/{id}/actions/test', {
          params: { path: { id: storageId } },
          body: { ...changes, hypervisor_id: hypervisorId },
        }),
      )
    },
    onSuccess: (task) => applyChange(cache, { noun: 'task', id: task.id, item: task }),
  })
}
