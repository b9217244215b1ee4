import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { applyChange } from '../cache'
import { client, unwrap } from '../client'
import { keys } from '../keys'
import type { Task } from '../types'
import type { References } from './names'

export interface TaskFilter {
  state?: string
  image_id?: string
  instance_id?: string
}

const PAGE_SIZE = 50

export const tasksQuery = (filter: TaskFilter = {}) =>
  infiniteQueryOptions({
    queryKey: keys.tasks.list(filter),
    queryFn: ({ signal, pageParam }) =>
      unwrap(
        client.GET('/api/v1/tasks', {
          params: { query: { ...filter, limit: PAGE_SIZE, ...(pageParam ? { page_token: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_page_token ?? undefined,
  })

/** Returns what tasks refer to, for `useNames`. */
export const namedBy = (tasks: readonly Task[]): References => ({
  images: tasks.map((task) => task.image_id),
  instances: tasks.map((task) => task.instance_id),
})

export const taskQuery = (id: string) =>
  queryOptions({
    queryKey: keys.tasks.one(id),
    queryFn: ({ signal }) => unwrap(client.GET('/api/v1/tasks/{id}', { params: { path: { id } }, signal })),
  })

export function useTaskAction() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ id, action }: { id: string; action: 'cancel' | 'retry' }) => {
      const params = { path: { id } }
      return action === 'cancel'
        ? unwrap(client.POST('/api/v1/tasks/{id}/actions/cancel', { params }))
        : unwrap(client.POST('/api/v1/tasks/{id}/actions/retry', { params }))
    },
    onSuccess: (task) => applyChange(cache, { noun: 'task', id: task.id, item: task }),
    onError: () => cache.invalidateQueries({ queryKey: keys.tasks.all }),
  })
}
