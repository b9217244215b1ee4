import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useNames } from '@/api/queries/names'
import type { TaskFilter } from '@/api/queries/tasks'
import { TaskList } from '@/features/tasks/TaskList'
import { TASK_STATES, tasksSearch } from '@/lib/search'
import { PageHeader, Stack } from '@/ui/Page'
import { Tabs } from '@/ui/Tabs'
import { useTitle } from './use-title'

const ALL = 'all'
const TABS = [
  { id: ALL, label: 'All' },
  { id: 'active', label: 'Active' },
  { id: 'succeeded', label: 'Succeeded' },
  { id: 'failed', label: 'Failed' },
  { id: 'cancelled', label: 'Cancelled' },
] as const

export function TasksPage() {
  useTitle('Tasks')
  const search = useSearch({ from: '/shell/tasks' })
  const navigate = useNavigate()
  const names = useNames({ images: [search.image_id], instances: [search.instance_id] })
  const selected = search.state ?? ALL
  const select = (id: string) =>
    void navigate({
      to: '/tasks',
      search: tasksSearch({ ...search, state: TASK_STATES.find((state) => state === id) }),
      replace: true,
    })
  const subject = names.image(search.image_id) ?? names.instance(search.instance_id)
  return (
    <Stack>
      <PageHeader title="Tasks">
        {search.image_id || search.instance_id ? (
          <>
            Tasks of {subject ?? 'one image or instance'}. <Link to="/tasks">Show all tasks</Link>
          </>
        ) : (
          'Tasks run in the background and continue when you close this page.'
        )}
      </PageHeader>
      <Tabs
        label="Tasks by state"
        selected={selected}
        onSelect={select}
        tabs={TABS.map(({ id, label }) => ({
          id,
          label,
          content: (
            <>
              <h2 className="visually-hidden">{label}</h2>
              <TaskList
                filter={filterOf({ ...search, state: id })}
                emptyTitle={id === ALL ? 'No tasks yet' : `No ${label.toLowerCase()} tasks`}
              />
            </>
          ),
        }))}
      />
    </Stack>
  )
}

function filterOf({
  state,
  image_id,
  instance_id,
}: {
  state: string
  image_id?: string
  instance_id?: string
}): TaskFilter {
  return {
    ...(state === ALL ? {} : { state: state === 'active' ? 'queued,running' : state }),
    ...(image_id ? { image_id } : {}),
    ...(instance_id ? { instance_id } : {}),
  }
}
