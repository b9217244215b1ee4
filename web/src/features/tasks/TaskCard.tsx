import { Link } from '@tanstack/react-router'
import {
  ArrowRightLeft,
  Camera,
  Combine,
  CornerLeftUp,
  Disc,
  FileCheck,
  FileOutput,
  HardDrive,
  Layers,
  PlugZap,
  Power,
  RefreshCcw,
  Rocket,
  ScanSearch,
  Trash2,
  Upload,
} from 'lucide-react'
import type { ReactNode } from 'react'
import type { Names } from '@/api/queries/names'
import { useTaskAction } from '@/api/queries/tasks'
import { isFinal, type Task, type TaskKind } from '@/api/types'
import { formatBytes, formatDuration, formatRate, NONE, percentOf, shortId } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { secondsBetween, withLocalTimes } from '@/lib/time'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { ProblemNotice } from '@/ui/Notice'
import { Progress, Steps } from '@/ui/Progress'
import { RelativeTime } from '@/ui/RelativeTime'
import { Status } from '@/ui/Status'
import { kindTitle, phaseName, stateName, stateTone, stepsOf } from './labels'
import styles from './TaskCard.module.css'
import { TaskErrorNotice } from './TaskErrorNotice'

const ICONS: Record<TaskKind, ReactNode> = {
  'image.capture': <Camera />,
  'image.import': <Upload />,
  'image.register': <Layers />,
  'image.delete': <Trash2 />,
  'image.move': <ArrowRightLeft />,
  'image.export': <FileOutput />,
  'object.delete': <Trash2 />,
  'instance.deploy': <Rocket />,
  'instance.reinstall': <RefreshCcw />,
  'instance.start': <Power />,
  'instance.stop': <Power />,
  'instance.coalesce': <Combine />,
  'instance.mount_iso': <Disc />,
  'instance.eject_iso': <CornerLeftUp />,
  'instance.attach_disk': <HardDrive />,
  'instance.detach_disk': <HardDrive />,
  'instance.delete': <Trash2 />,
  'iso.register': <Disc />,
  'storage.scan': <ScanSearch />,
  'storage.clean': <Trash2 />,
  'image.verify': <FileCheck />,
  'storage.test': <PlugZap />,
}

/** One task, kept up to date: kind, progress, why it waits, why it failed, and its actions. */
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
            <TaskTimes task={task} />
          </p>
        </div>
        <div className={styles.side}>
          <Status tone={stateTone(task.state)}>
            {task.cancel_requested && !isFinal(task.state) ? 'Cancelling' : stateName(task.state)}
          </Status>
          {!isFinal(task.state) && !task.cancel_requested && (
            <Button variant="quiet" busy={action.isPending} onPress={() => act('cancel')}>
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
      {!isFinal(task.state) && <TaskProgress task={task} />}
      {task.state !== 'succeeded' && task.error && <TaskErrorNotice task={task} error={task.error} />}
      {action.isError && <ProblemNotice problem={asProblem(action.error)} />}
    </article>
  )
}

/**
 * Whether Retry is offered: captures, deployments and deletions can be repeated whatever the error
 * was. The image of a cancelled capture is removed, so that it is created anew.
 */
function isRetryable(task: Task): boolean {
  if (task.kind === 'image.capture' && task.state === 'cancelled') return false
  return REPEATABLE.has(task.kind) || (task.error?.retryable ?? false)
}

const REPEATABLE: ReadonlySet<TaskKind> = new Set([
  'image.capture',
  'instance.deploy',
  'instance.reinstall',
  'image.delete',
])

/** Whether the task writes a disk of the instance from the image, and not the other way. */
const writesDisk = ({ kind }: Task) => kind === 'instance.deploy' || kind === 'instance.reinstall'

/** Links to what the task works on, unless the server does not have it. */
function Subject({ task, names }: { task: Task; names: Names }) {
  const image = names.image(task.image_id)
  const instance = names.instance(task.instance_id)
  return (
    <>
      {task.image_id &&
        (image === null ? (
          // A deployment may be of an image that was shared with the account.
          <span>{writesDisk(task) ? 'image that is gone' : 'deleted image'}</span>
        ) : (
          <Link to="/images/$id" params={{ id: task.image_id }}>
            <ClampedText text={image ?? shortId(task.image_id)} />
          </Link>
        ))}
      {task.image_id && task.instance_id && <span>{writesDisk(task) ? '→' : 'from'}</span>}
      {task.instance_id &&
        (instance === null ? (
          <span>deleted instance</span>
        ) : (
          <Link to="/instances/$id" params={{ id: task.instance_id }}>
            <ClampedText text={instance ?? shortId(task.instance_id)} />
          </Link>
        ))}
    </>
  )
}

/**
 * Formats how long a task with a single attempt ran. The API has no start of later attempts: the
 * time since the first one would include the pauses between them.
 */
function formatTook({ started_at, created_at, finished_at }: Task): string {
  if (!finished_at) return NONE
  const seconds = secondsBetween(started_at ?? created_at, finished_at)
  return seconds !== null && seconds < 1 ? 'less than a second' : formatDuration(seconds)
}

function TaskTimes({ task }: { task: Task }) {
  if (task.finished_at) {
    return (
      <span className={styles.when}>
        <RelativeTime at={task.finished_at} />
        {task.attempt > 1 ? `, after ${task.attempt} attempts` : `, took ${formatTook(task)}`}
      </span>
    )
  }
  return (
    <span className={styles.when}>
      <RelativeTime at={task.created_at} />
      {task.attempt > 1 && `, attempt ${task.attempt}`}
    </span>
  )
}

/** The progress of a task that has not ended. */
function TaskProgress({ task }: { task: Task }) {
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
        {task.state === 'queued' ? (
          <QueueState task={task} />
        ) : (
          <ProgressFigures task={task} percent={percent} />
        )}
      </p>
    </div>
  )
}

function QueueState({ task }: { task: Task }) {
  const position = task.queue_position
  return (
    <>
      <strong>
        {position == null
          ? 'Waiting to start'
          : position <= 1
            ? 'Next in the queue'
            : `Position ${position} in the queue`}
      </strong>
      {task.waiting_for && <span>Waiting for {withLocalTimes(task.waiting_for)}.</span>}
    </>
  )
}

function ProgressFigures({ task, percent }: { task: Task; percent: number | null }) {
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
