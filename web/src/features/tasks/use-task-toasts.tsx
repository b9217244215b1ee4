import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useEffect, useRef } from 'react'
import { endedTasks } from '@/api/events-reducer'
import { usePollInterval } from '@/api/live'
import { type Names, useNames } from '@/api/queries/names'
import { namedBy, tasksQuery } from '@/api/queries/tasks'
import { isFinal, type Task, type TaskState } from '@/api/types'
import { toSentence } from '@/lib/problem'
import { showToast } from '@/ui/Toasts'
import { endTitle } from './labels'

/** Shows a notification when a task ends, on any page; returns the number of active tasks. */
export function useTaskToasts(): number {
  const refetchInterval = usePollInterval()
  const { data } = useInfiniteQuery({ ...tasksQuery(), refetchInterval })
  const before = useRef<Map<string, TaskState> | null>(null)
  // Those that may end, and those that have just ended.
  const isFollowed = (task: Task) => [task.state, before.current?.get(task.id)].some(isActive)
  const names = useNames(namedBy(data?.pages.flatMap((page) => page.items.filter(isFollowed)) ?? []))
  const latestNames = useRef(names)
  latestNames.current = names

  useEffect(() => {
    if (data === undefined) return
    const tasks = data.pages.flatMap((page) => page.items)
    for (const task of endedTasks(before.current, tasks)) announce(task, latestNames.current)
    before.current = new Map(tasks.map((task) => [task.id, task.state]))
  }, [data])

  return data?.pages[0]?.items.filter((task) => !isFinal(task.state)).length ?? 0
}

const isActive = (state: TaskState | undefined) => state !== undefined && !isFinal(state)

const TONES = {
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'idle',
  queued: 'idle',
  running: 'idle',
} as const

function announce(task: Task, names: Names): void {
  // The page that began a test shows its result: a test that ended well may have found faults.
  if (task.kind === 'storage.test') return
  const ofImage = task.kind.startsWith('image.')
  const subject = (ofImage ? names.image(task.image_id) : names.instance(task.instance_id)) ?? ''
  const removed = task.kind === 'image.delete' || task.kind === 'instance.delete'
  showToast({
    tone: TONES[task.state],
    title: endTitle(task),
    text: task.state === 'failed' && task.error ? toSentence(task.error.detail) : subject,
    action: task.state === 'failed' || removed ? <TasksLink /> : <SubjectLink task={task} />,
  })
}

const TasksLink = () => <Link to="/tasks">See tasks</Link>

function SubjectLink({ task }: { task: Task }) {
  if (task.kind.startsWith('image.') && task.image_id) {
    return (
      <Link to="/images/$id" params={{ id: task.image_id }}>
        See image
      </Link>
    )
  }
  if (task.instance_id) {
    return (
      <Link to="/instances/$id" params={{ id: task.instance_id }}>
        See instance
      </Link>
    )
  }
  return <TasksLink />
}
