/** ISOs, and the drive and the disks of an instance. */
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { applyChange } from '../cache'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { AdminIso, Instance, IsoCreate, IsoPatch, Task } from '../types'

/** The most ISOs of a list: a provider has some ten. */
const MAX_ISOS = 500

/** The ISOs that can be mounted in a location, or in any. */
export const isosQuery = (locationId: string | undefined) =>
  queryOptions({
    queryKey: keys.isos.offered(locationId),
    queryFn: async ({ signal }) =>
      (
        await unwrap(
          client.GET('/api/v1/isos', {
            params: { query: { limit: MAX_ISOS, ...(locationId ? { location_id: locationId } : {}) } },
            signal,
          }),
        )
      ).items,
  })

/** All ISOs, for admins. */
export const adminIsosQuery = queryOptions({
  queryKey: keys.isos.admin,
  queryFn: async ({ signal }) =>
    (await unwrap(client.GET('/api/v1/admin/isos', { params: { query: { limit: MAX_ISOS } }, signal })))
      .items,
})

function useIsosChanged(): () => void {
  const cache = useQueryClient()
  return () => void cache.invalidateQueries({ queryKey: keys.isos.all })
}

export function useRegisterIso() {
  const cache = useQueryClient()
  const changed = useIsosChanged()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: IsoCreate) =>
      unwrap(
        client.POST('/api/v1/admin/isos', { params: { header: { 'Idempotency-Key': keyOf(body) } }, body }),
      ),
    onSuccess: ({ task }) => {
      applyChange(cache, { noun: 'task', id: task.id, item: task })
      changed()
    },
  })
}

export function useEditIso() {
  const changed = useIsosChanged()
  return useMutation({
    mutationFn: ({ iso, patch }: { iso: AdminIso; patch: IsoPatch }) =>
      unwrap(
        client.PATCH('/api/v1/admin/isos/{id}', {
          params: { path: { id: iso.id } },
          body: patch,
          headers: { 'Content-Type': 'application/merge-patch+json' },
        }),
      ),
    onSettled: changed,
  })
}

export function useDeleteIso() {
  const changed = useIsosChanged()
  return useMutation({
    mutationFn: (iso: AdminIso) =>
      unwrap(client.DELETE('/api/v1/admin/isos/{id}', { params: { path: { id: iso.id } } })),
    onSettled: changed,
  })
}

function useApplyResult() {
  const cache = useQueryClient()
  return ({ instance, task }: { instance: Instance; task: Task }) => {
    applyChange(cache, { noun: 'instance', id: instance.id, item: instance })
    applyChange(cache, { noun: 'task', id: task.id, item: task })
  }
}

export function useMountIso() {
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: ({ id, isoId, boot }: { id: string; isoId: string; boot: boolean }) => {
      const body = { iso_id: isoId, boot_from_cd: boot }
      return unwrap(
        client.POST('/api/v1/instances/{id}/actions/mount-iso', {
          params: { path: { id }, header: { 'Idempotency-Key': keyOf({ id, ...body }) } },
          body,
        }),
      )
    },
    onSuccess: useApplyResult(),
  })
}

export function useEjectIso() {
  return useMutation({
    mutationFn: (id: string) =>
      unwrap(client.POST('/api/v1/instances/{id}/actions/eject-iso', { params: { path: { id } } })),
    onSuccess: useApplyResult(),
  })
}

export function useAttachDisk() {
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: ({ id, bytes }: { id: string; bytes: number }) => {
      const body = { size_bytes: bytes }
      return unwrap(
        client.POST('/api/v1/instances/{id}/disks', {
          params: { path: { id }, header: { 'Idempotency-Key': keyOf({ id, ...body }) } },
          body,
        }),
      )
    },
    onSuccess: useApplyResult(),
  })
}

export function useDetachDisk() {
  return useMutation({
    mutationFn: ({ id, diskId }: { id: string; diskId: string }) =>
      unwrap(
        client.DELETE('/api/v1/instances/{id}/disks/{disk_id}', {
          params: { path: { id, disk_id: diskId } },
        }),
      ),
    onSuccess: useApplyResult(),
  })
}
