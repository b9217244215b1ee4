import { useInfiniteQuery } from '@tanstack/react-query'
import { ListChecks } from 'lucide-react'
import type { ReactNode } from 'react'
import { usePollInterval } from '@/api/live'
import { useNames } from '@/api/queries/names'
import { namedBy, type TaskFilter, tasksQuery } from '@/api/queries/tasks'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, Skeleton } from '@/ui/Page'
import { TaskCard } from './TaskCard'
import styles from './TaskCard.module.css'

/** How often the list is requested while a task waits in the queue. */
const QUEUE_POLL_MS = 5000

export interface TaskListProps {
  filter: TaskFilter
  /** The title of the empty state. */
  emptyTitle?: string
  /** Shown instead of the empty state. */
  empty?: ReactNode
}

/** Shows tasks, newest first, and keeps them up to date. */
export function TaskList({ filter, emptyTitle = 'No tasks', empty }: TaskListProps) {
  const poll = usePollInterval()
  const tasks = useInfiniteQuery({
    ...tasksQuery(filter),
    // A task's position in the queue changes when other tasks end, which sends no event for it.
    refetchInterval: (query) => {
      const waits = query.state.data?.pages.some((page) => page.items.some((task) => task.state === 'queued'))
      return poll || (waits ? QUEUE_POLL_MS : false)
    },
  })
  const items = tasks.data?.pages.flatMap((page) => page.items) ?? []
  const names = useNames(namedBy(items))
  if (tasks.isPending) return <Skeleton label="Loading tasks" />
  if (tasks.isError && !tasks.data) {
    return (
      <ProblemNotice
        problem={asProblem(tasks.error)}
        actions={<Button onPress={() => void tasks.refetch()}>Try again</Button>}
      />
    )
  }
  if (items.length === 0) {
    return (
      empty ?? (
        <EmptyState icon={<ListChecks />} title={emptyTitle}>
          Images and instances are created in the background. The progress appears here.
        </EmptyState>
      )
    )
  }
  return (
    <div className={styles.list}>
      {items.map((task) => (
        <TaskCard key={task.id} task={task} names={names} />
      ))}
      {tasks.hasNextPage && (
        <Button variant="quiet" busy={tasks.isFetchingNextPage} onPress={() => void tasks.fetchNextPage()}>
          Show more
        </Button>
      )}
    </div>
  )
}
