import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { applyChange, seedTaskList } from '../cache'
import { answer, client } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { Instance, InstanceCreate, Task } from '../types'

const PAGE = 100

export const instancesQuery = infiniteQueryOptions({
  queryKey: keys.instances.list({}),
  queryFn: ({ signal, pageParam }) =>
    answer(
      client.GET('/api/v1/instances', {
        params: { query: { limit: PAGE, ...(pageParam ? { page_token: pageParam } : {}) } },
        signal,
      }),
    ),
  initialPageParam: '',
  getNextPageParam: (page) => page.next_page_token ?? undefined,
})

export const instanceQuery = (id: string) =>
  queryOptions({
    queryKey: keys.instances.one(id),
    queryFn: ({ signal }) =>
      answer(client.GET('/api/v1/instances/{id}', { params: { path: { id } }, signal })),
  })

function useEnterResult() {
  const cache = useQueryClient()
  return ({ instance, task }: { instance: Instance; task: Task }) => {
    applyChange(cache, { noun: 'instance', id: instance.id, item: instance })
    applyChange(cache, { noun: 'task', id: task.id, item: task })
  }
}

export function useCreateInstance() {
  const cache = useQueryClient()
  const enter = useEnterResult()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: InstanceCreate) =>
      answer(
        client.POST('/api/v1/instances', { params: { header: { 'Idempotency-Key': keyOf(body) } }, body }),
      ),
    onSuccess: (result) => {
      enter(result)
      seedTaskList(cache, { instance_id: result.instance.id }, result.task)
    },
  })
}

export type PowerAction = 'start' | 'stop'

export function usePowerAction() {
  return useMutation({
    mutationFn: ({ id, action }: { id: string; action: PowerAction }) => {
      const params = { path: { id } }
      return action === 'start'
        ? answer(client.POST('/api/v1/instances/{id}/actions/start', { params }))
        : answer(client.POST('/api/v1/instances/{id}/actions/stop', { params }))
    },
    onSuccess: useEnterResult(),
  })
}

export function useCoalesce() {
  return useMutation({
    mutationFn: (id: string) =>
      answer(client.POST('/api/v1/admin/instances/{id}/actions/coalesce', { params: { path: { id } } })),
    onSuccess: useEnterResult(),
  })
}

export function useDeleteInstance() {
  return useMutation({
    mutationFn: (id: string) => answer(client.DELETE('/api/v1/instances/{id}', { params: { path: { id } } })),
    onSuccess: useEnterResult(),
  })
}
