/** What is really on image storages: scans, objects, and what is done about them. For admins only. */
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { applyChange } from '../cache'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { StorageObjectAdopt, StorageReconcile, StorageScan } from '../types'

/** How often the scans are requested: no event says what a scan has found. */
const SCANS_MS = { active: 1000, idle: 60_000 }

/** The latest scans of a storage, latest first. */
export const scansQuery = (id: string) =>
  queryOptions({
    queryKey: keys.storageScans(id),
    queryFn: async ({ signal }): Promise<StorageScan[]> =>
      (
        await unwrap(
          client.GET('/api/v1/admin/image-storages/{id}/scans', { params: { path: { id } }, signal }),
        )
      ).items,
    refetchInterval: ({ state }) =>
      state.data?.some((scan) => scan.state === 'active') ? SCANS_MS.active : SCANS_MS.idle,
  })

export interface ObjectPage {
  /** The last complete scan: another one has found other objects. */
  scan_id: string
  class?: string
  fault?: boolean
  prefix?: string
  page_token?: string
}

/** The number of objects of a page. */
export const OBJECTS_OF_PAGE = 50

export const objectsQuery = (id: string, { scan_id, ...page }: ObjectPage) =>
  queryOptions({
    queryKey: keys.storageObjects.page(id, { scan_id, ...page }),
    queryFn: ({ signal }) =>
      unwrap(
        client.GET('/api/v1/admin/image-storages/{id}/objects', {
          params: { path: { id }, query: { ...page, limit: OBJECTS_OF_PAGE } },
          signal,
        }),
      ),
  })

/** Returns a function that requests the objects of a storage again. */
export function useReloadObjects(id: string): () => void {
  const cache = useQueryClient()
  return () => void cache.invalidateQueries({ queryKey: keys.storageObjects.all(id) })
}

export function useScanStorage(id: string) {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ deep }: { deep: boolean }) =>
      unwrap(
        client.POST('/api/v1/admin/image-storages/{id}/scans', { params: { path: { id } }, body: { deep } }),
      ),
    onSuccess: (task) => {
      applyChange(cache, { noun: 'task', id: task.id, item: task })
      return cache.invalidateQueries({ queryKey: keys.storageScans(id) })
    },
  })
}

/** Does something about what a scan found; with `dry_run` it only says what would be done. */
export function useReconcile(id: string) {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (body: StorageReconcile) =>
      unwrap(
        client.POST('/api/v1/admin/image-storages/{id}/actions/reconcile', {
          params: { path: { id } },
          body,
        }),
      ),
    onSuccess: (report) => {
      if (report.dry_run) return
      void cache.invalidateQueries({ queryKey: keys.storageObjects.all(id) })
      void cache.invalidateQueries({ queryKey: keys.tasks.lists })
    },
    // A scan that has ended meanwhile is what the next plan is made of.
    onError: () => cache.invalidateQueries({ queryKey: keys.storageScans(id) }),
  })
}

/** Makes a link by which the browser downloads an object. */
export function useDownloadObject(id: string) {
  return useMutation({
    mutationFn: (key: string) =>
      unwrap(
        client.POST('/api/v1/admin/image-storages/{id}/downloads', {
          params: { path: { id } },
          body: { key },
        }),
      ),
  })
}

export function useAdoptObject(id: string) {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: StorageObjectAdopt) =>
      unwrap(
        client.POST('/api/v1/admin/image-storages/{id}/actions/adopt', {
          params: { path: { id }, header: { 'Idempotency-Key': keyOf(body) } },
          body,
        }),
      ),
    onSuccess: ({ task }) => {
      applyChange(cache, { noun: 'task', id: task.id, item: task })
      void cache.invalidateQueries({ queryKey: keys.storageObjects.all(id) })
    },
  })
}
