import { useQueries } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { useEffect, useRef } from 'react'
import { useNames } from '@/api/queries/names'
import { namedBy, taskQuery } from '@/api/queries/tasks'
import { isFinal } from '@/api/types'
import { plural } from '@/lib/format'
import { MutedText } from '@/ui/Page'
import { TaskCard } from './TaskCard'
import styles from './TaskCard.module.css'

/** The most tasks that are shown and followed. */
const SHOWN = 5
const POLL_MS = 2000

export interface TaskCardsProps {
  ids: readonly string[]
  /** All tasks that are shown have ended. */
  onEnded?: () => void
}

/** Tasks by their ids, kept up to date. Of many only the first are shown. */
export function TaskCards({ ids, onEnded }: TaskCardsProps) {
  const tasks = useQueries({
    queries: ids.slice(0, SHOWN).map((id) => ({
      ...taskQuery(id),
      // Events are about the tasks of this account: another one may have begun the task.
      refetchInterval: ({
        state,
      }: {
        state: { data?: { state: Parameters<typeof isFinal>[0] } | undefined }
      }) => (state.data && isFinal(state.data.state) ? (false as const) : POLL_MS),
    })),
  })
  const names = useNames(namedBy(tasks.flatMap(({ data }) => data ?? [])))
  const hasEnded = tasks.length > 0 && tasks.every(({ data }) => data && isFinal(data.state))
  const latest = useRef(onEnded)
  latest.current = onEnded
  const which = ids.join()
  // Other tasks end anew.
  useEffect(() => {
    if (hasEnded) latest.current?.()
  }, [hasEnded, which])
  return (
    <div className={styles.list}>
      {tasks.map(({ data }) => data && <TaskCard key={data.id} task={data} names={names} />)}
      {ids.length > SHOWN && (
        <MutedText>
          And {plural(ids.length - SHOWN, 'more task')}: see <Link to="/tasks">Tasks</Link>.
        </MutedText>
      )}
    </div>
  )
}
