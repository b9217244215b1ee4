import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { applyChange, seedTaskList } from '../cache'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { Instance, InstanceCreate, InstanceReinstall, Task } from '../types'

const PAGE_SIZE = 100

export const instancesQuery = infiniteQueryOptions({
  queryKey: keys.instances.list({}),
  queryFn: ({ signal, pageParam }) =>
    unwrap(
      client.GET('/api/v1/instances', {
        params: { query: { limit: PAGE_SIZE, ...(pageParam ? { page_token: pageParam } : {}) } },
        signal,
      }),
    ),
  initialPageParam: '',
  getNextPageParam: (page) => page.next_page_token ?? undefined,
})

/** Loads the instances with those ids that the account sees. */
export const loadInstances = async (ids: readonly string[]): Promise<Instance[]> => {
  const query = { ids: ids.join(','), limit: ids.length }
  return (await unwrap(client.GET('/api/v1/instances', { params: { query } }))).items
}

export const instanceQuery = (id: string) =>
  queryOptions({
    queryKey: keys.instances.one(id),
    queryFn: ({ signal }) =>
      unwrap(client.GET('/api/v1/instances/{id}', { params: { path: { id } }, signal })),
  })

function useApplyResult() {
  const cache = useQueryClient()
  return ({ instance, task }: { instance: Instance; task: Task }) => {
    applyChange(cache, { noun: 'instance', id: instance.id, item: instance })
    applyChange(cache, { noun: 'task', id: task.id, item: task })
  }
}

export function useCreateInstance() {
  const cache = useQueryClient()
  const enter = useApplyResult()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: InstanceCreate) =>
      unwrap(
        client.POST('/api/v1/instances', { params: { header: { 'Idempotency-Key': keyOf(body) } }, body }),
      ),
    onSuccess: (result) => {
      enter(result)
      seedTaskList(cache, { instance_id: result.instance.id }, result.task)
    },
  })
}

export type PowerAction = 'start' | 'stop'

interface PowerRequest {
  id: string
  action: PowerAction
  /** Whether an image that is being created from the instance is cancelled first. */
  cancelCaptures?: boolean
}

export function usePowerAction() {
  return useMutation({
    mutationFn: ({ id, action, cancelCaptures = false }: PowerRequest) => {
      const params = { path: { id }, query: { cancel_captures: cancelCaptures } }
      return action === 'start'
        ? unwrap(client.POST('/api/v1/instances/{id}/actions/start', { params }))
        : unwrap(client.POST('/api/v1/instances/{id}/actions/stop', { params }))
    },
    onSuccess: useApplyResult(),
  })
}

export function useCoalesce() {
  return useMutation({
    mutationFn: (id: string) =>
      unwrap(client.POST('/api/v1/admin/instances/{id}/actions/coalesce', { params: { path: { id } } })),
    onSuccess: useApplyResult(),
  })
}

interface ReinstallRequest {
  body: InstanceReinstall
  /** Whether an image that is being created from the instance is cancelled first. */
  cancelCaptures: boolean
}

export function useReinstall(id: string) {
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: ({ body, cancelCaptures }: ReinstallRequest) => {
      const header = { 'Idempotency-Key': keyOf(body) }
      const params = { path: { id }, query: { cancel_captures: cancelCaptures }, header }
      return unwrap(client.POST('/api/v1/instances/{id}/actions/reinstall', { params, body }))
    },
    onSuccess: useApplyResult(),
  })
}

export function useDeleteInstance() {
  return useMutation({
    mutationFn: ({ id, cancelCaptures }: { id: string; cancelCaptures: boolean }) =>
      unwrap(
        client.DELETE('/api/v1/instances/{id}', {
          params: { path: { id }, query: { cancel_captures: cancelCaptures } },
        }),
      ),
    onSuccess: useApplyResult(),
  })
}
