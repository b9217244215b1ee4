import { useInfiniteQuery } from '@tanstack/react-query'
import { ListChecks } from 'lucide-react'
import type { ReactNode } from 'react'
import { usePollInterval } from '@/api/live'
import { useNames } from '@/api/queries/names'
import { type TaskFilter, tasksQuery } from '@/api/queries/tasks'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, Skeleton } from '@/ui/Page'
import { TaskCard } from './TaskCard'
import styles from './TaskCard.module.css'

/** How often the places in the queue are asked for while something waits. */
const QUEUE_MS = 5000

export interface TaskListProps {
  filter: TaskFilter
  /** What stands where there are none; nothing for the usual words. */
  empty?: ReactNode
}

/** Tasks, newest first, live. */
export function TaskList({ filter, empty }: TaskListProps) {
  const names = useNames()
  const poll = usePollInterval()
  const tasks = useInfiniteQuery({
    ...tasksQuery(filter),
    // A task's place in the queue changes when others end, which is no event of its own.
    refetchInterval: (query) => {
      const waits = query.state.data?.pages.some((page) => page.items.some((task) => task.state === 'queued'))
      return poll || (waits ? QUEUE_MS : false)
    },
  })
  if (tasks.isPending) return <Skeleton label="Loading tasks" />
  if (tasks.isError && !tasks.data) {
    return (
      <ProblemNotice
        problem={asProblem(tasks.error)}
        actions={<Button onPress={() => void tasks.refetch()}>Try again</Button>}
      />
    )
  }
  const items = tasks.data.pages.flatMap((page) => page.items)
  if (items.length === 0) {
    return (
      empty ?? (
        <EmptyState icon={<ListChecks />} title="No tasks here">
          Creating an image or an instance runs in the background. Its progress appears here.
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
        <Button look="quiet" busy={tasks.isFetchingNextPage} onPress={() => void tasks.fetchNextPage()}>
          Show more
        </Button>
      )}
    </div>
  )
}
