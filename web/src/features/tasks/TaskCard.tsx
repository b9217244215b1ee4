import { Link } from '@tanstack/react-router'
import { Camera, Combine, Layers, Power, Rocket, Trash2 } from 'lucide-react'
import type { ReactNode } from 'react'
import type { Names } from '@/api/queries/names'
import { useTaskAction } from '@/api/queries/tasks'
import { isFinal, type Task, type TaskKind } from '@/api/types'
import { formatBytes, formatDuration, formatRate, percentOf } from '@/lib/format'
import { asProblem, sentence } from '@/lib/problem'
import { secondsBetween, withLocalTimes } from '@/lib/time'
import { Button } from '@/ui/Button'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { Progress, Steps } from '@/ui/Progress'
import { Since, useNow } from '@/ui/Since'
import { Status } from '@/ui/Status'
import { errorTitle, kindTitle, phaseName, stateName, stateTone, stepsOf } from './labels'
import styles from './TaskCard.module.css'

const ICONS: Record<TaskKind, ReactNode> = {
  'image.capture': <Camera />,
  'image.adopt': <Layers />,
  'image.delete': <Trash2 />,
  'instance.deploy': <Rocket />,
  'instance.start': <Power />,
  'instance.stop': <Power />,
  'instance.coalesce': <Combine />,
  'instance.delete': <Trash2 />,
}

/** One task, live: what it does, how far it is, why it waits, why it failed, and what can be done. */
export function TaskCard({ task, names }: { task: Task; names: Names }) {
  const action = useTaskAction()
  const act = (name: 'cancel' | 'retry') => action.mutate({ id: task.id, action: name })
  return (
    <article className={styles.card} aria-label={`${kindTitle(task.kind)}, ${stateName(task.state)}`}>
      <div className={styles.head}>
        <span className={styles.icon} aria-hidden="true">
          {ICONS[task.kind]}
        </span>
        <div className={styles.what}>
          <h3>{kindTitle(task.kind)}</h3>
          <p className={styles.meta}>
            <Subject task={task} names={names} />
            <When task={task} />
          </p>
        </div>
        <div className={styles.side}>
          <Status tone={stateTone(task.state)}>
            {task.cancel_requested && !isFinal(task.state) ? 'Cancelling' : stateName(task.state)}
          </Status>
          {!isFinal(task.state) && !task.cancel_requested && (
            <Button look="quiet" busy={action.isPending} onPress={() => act('cancel')}>
              Cancel
            </Button>
          )}
          {(task.state === 'failed' || task.state === 'cancelled') && isRetryable(task) && (
            <Button busy={action.isPending} onPress={() => act('retry')}>
              Retry
            </Button>
          )}
        </div>
      </div>
      {!isFinal(task.state) && <Work task={task} />}
      {task.state !== 'succeeded' && task.error && <Failure task={task} />}
      {action.isError && <ProblemNotice problem={asProblem(action.error)} />}
    </article>
  )
}

/** What a person may ask for again: the work that leaves something useful behind. */
function isRetryable(task: Task): boolean {
  return task.kind === 'image.capture' || task.kind === 'instance.deploy' || (task.error?.retryable ?? false)
}

function Subject({ task, names }: { task: Task; names: Names }) {
  const image = names.image(task.image_id)
  const instance = names.instance(task.instance_id)
  return (
    <>
      {task.image_id && image && (
        <Link to="/images/$id" params={{ id: task.image_id }}>
          {image}
        </Link>
      )}
      {task.image_id && !image && <span>an image that is gone</span>}
      {task.image_id && task.instance_id && <span>{task.kind === 'instance.deploy' ? '→' : 'from'}</span>}
      {task.instance_id && instance && (
        <Link to="/instances/$id" params={{ id: task.instance_id }}>
          {instance}
        </Link>
      )}
      {task.instance_id && !instance && <span>an instance that is gone</span>}
    </>
  )
}

function When({ task }: { task: Task }) {
  const now = useNow()
  if (task.finished_at) {
    const took = secondsBetween(task.started_at ?? task.created_at, task.finished_at, now)
    return (
      <span className={styles.when}>
        <Since at={task.finished_at} />, took{' '}
        {took !== null && took < 1 ? 'less than a second' : formatDuration(took)}
      </span>
    )
  }
  return (
    <span className={styles.when}>
      <Since at={task.created_at} />
      {task.attempt > 1 && `, attempt ${task.attempt}`}
    </span>
  )
}

/** The progress of a task that is not over. */
function Work({ task }: { task: Task }) {
  const { names, current } = stepsOf(task)
  const percent = task.state === 'queued' ? 0 : (task.percent ?? percentOf(task.bytes_done, task.bytes_total))
  return (
    <div className={styles.work}>
      <Steps label="Phases" steps={names} current={current} />
      <Progress
        label={`Progress, ${phaseName(task.phase, task.kind)}`}
        percent={percent === null ? null : Math.floor(percent)}
        tone={task.state === 'queued' ? 'idle' : 'busy'}
      />
      <p className={styles.figures}>
        {task.state === 'queued' ? <Waiting task={task} /> : <Figures task={task} percent={percent} />}
      </p>
    </div>
  )
}

function Waiting({ task }: { task: Task }) {
  const place = task.queue_position
  return (
    <>
      <strong>
        {place == null
          ? 'Waiting to start'
          : place <= 1
            ? 'Next in the queue'
            : `Number ${place} in the queue`}
      </strong>
      {task.waiting_for && <span>Waits for {withLocalTimes(task.waiting_for)}.</span>}
    </>
  )
}

function Figures({ task, percent }: { task: Task; percent: number | null }) {
  const hasBytes = task.bytes_total != null && task.bytes_total > 0
  return (
    <>
      {percent !== null && <strong>{Math.floor(percent)} %</strong>}
      {hasBytes && (
        <span>
          {formatBytes(task.bytes_done)} of {formatBytes(task.bytes_total)}
        </span>
      )}
      {task.rate_bps != null && task.rate_bps > 0 && <span>{formatRate(task.rate_bps)}</span>}
      {task.eta_s != null && <span>about {formatDuration(task.eta_s)} left</span>}
      <span className={styles.checkpoint}>checkpoint {task.checkpoint} %</span>
    </>
  )
}

function Failure({ task }: { task: Task }) {
  if (!task.error) return null
  const again = task.state === 'queued' || task.state === 'running'
  return (
    <Notice
      tone={again ? 'warn' : 'bad'}
      title={
        again
          ? `Attempt ${Math.max(task.attempt, 1)} failed; it is tried again by itself`
          : errorTitle(task, task.error.code)
      }
    >
      <p>{sentence(task.error.detail)}</p>
      <p>
        <code>{task.error.code}</code>
      </p>
    </Notice>
  )
}
