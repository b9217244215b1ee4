/** What tasks, phases and states are called on the screen. */
import type { Phase, Task, TaskKind, TaskState } from '@/api/types'
import type { Tone } from '@/ui/Status'

interface KindWords {
  title: string
  /** What is said once it is done. */
  done: string
  /** What is said where it failed. */
  failed: string
  steps: readonly Phase[]
}

const KINDS: Record<TaskKind, KindWords> = {
  'image.capture': {
    title: 'Create image',
    done: 'Image created',
    failed: 'Image creation failed',
    steps: ['queued', 'preparing', 'snapshotting', 'copying', 'finalizing'],
  },
  'image.adopt': {
    title: 'Add stock image',
    done: 'Stock image added',
    failed: 'Stock image not added',
    steps: ['queued', 'preparing', 'copying', 'finalizing'],
  },
  'image.delete': {
    title: 'Delete image',
    done: 'Image deleted',
    failed: 'Image not deleted',
    steps: ['queued', 'removing'],
  },
  'instance.deploy': {
    title: 'Create instance',
    done: 'Instance created',
    failed: 'Instance creation failed',
    steps: ['queued', 'preparing', 'copying', 'finalizing', 'starting'],
  },
  'instance.start': {
    title: 'Start instance',
    done: 'Instance started',
    failed: 'Instance not started',
    steps: ['queued', 'starting'],
  },
  'instance.stop': {
    title: 'Stop instance',
    done: 'Instance stopped',
    failed: 'Instance not stopped',
    steps: ['queued', 'starting'],
  },
  'instance.coalesce': {
    title: 'Merge disk layers',
    done: 'Disk layers merged',
    failed: 'Disk layers not merged',
    steps: ['queued', 'preparing', 'coalesce'],
  },
  'instance.delete': {
    title: 'Delete instance',
    done: 'Instance deleted',
    failed: 'Instance not deleted',
    steps: ['queued', 'removing'],
  },
}

/** Phases in the order in which any task goes through them. */
const ORDER: readonly Phase[] = [
  'queued',
  'preparing',
  'coalesce',
  'snapshotting',
  'copying',
  'finalizing',
  'starting',
  'removing',
  'done',
]

const PHASES: Record<Phase, string> = {
  queued: 'Queued',
  preparing: 'Preparing',
  coalesce: 'Merging layers',
  snapshotting: 'Snapshot',
  copying: 'Copying',
  finalizing: 'Finalizing',
  starting: 'Starting',
  removing: 'Removing',
  done: 'Done',
}

const STATES: Record<TaskState, { name: string; tone: Tone }> = {
  queued: { name: 'Queued', tone: 'idle' },
  running: { name: 'Running', tone: 'busy' },
  succeeded: { name: 'Succeeded', tone: 'good' },
  failed: { name: 'Failed', tone: 'bad' },
  cancelled: { name: 'Cancelled', tone: 'idle' },
}

export const kindTitle = (kind: TaskKind): string => KINDS[kind].title
export const failureTitle = (kind: TaskKind): string => KINDS[kind].failed

/** How a task ended, in a few words. */
export function endTitle(task: Pick<Task, 'kind' | 'state'>): string {
  switch (task.state) {
    case 'succeeded':
      return KINDS[task.kind].done
    case 'failed':
      return KINDS[task.kind].failed
    case 'cancelled':
      return `${KINDS[task.kind].title}: cancelled`
    case 'queued':
    case 'running':
      return KINDS[task.kind].title
  }
}

export const stateName = (state: TaskState): string => STATES[state].name
export const stateTone = (state: TaskState): Tone => STATES[state].tone

export function phaseName(phase: Phase, kind: TaskKind): string {
  return phase === 'starting' && kind === 'instance.stop' ? 'Stopping' : PHASES[phase]
}

export interface StepsView {
  names: string[]
  /** The index of the present step; the number of steps once the task is done. */
  current: number
}

/** Only a disk that is a chain of layers is merged first: the step is shown while it is the present one. */
function withCoalesce(steps: readonly Phase[], phase: Phase): readonly Phase[] {
  if (phase !== 'coalesce' || steps.includes(phase)) return steps
  return steps.flatMap((step) => (step === 'preparing' ? [step, phase] : [step]))
}

/** What is said of a failure: the names that the provider's texts use where there are such. */
export function errorTitle(task: Pick<Task, 'kind'>, code: string): string {
  return code === 'coalesce_timeout'
    ? `${failureTitle(task.kind)}: Coalesce timeout`
    : failureTitle(task.kind)
}

/** The steps of a task and where it is in them; a phase that is not among them counts as the one it comes before. */
export function stepsOf(task: Pick<Task, 'kind' | 'phase' | 'state'>): StepsView {
  const steps = withCoalesce(KINDS[task.kind].steps, task.phase)
  const names = steps.map((phase) => phaseName(phase, task.kind))
  if (task.state === 'succeeded') return { names, current: steps.length }
  const rank = ORDER.indexOf(task.phase)
  const ahead = steps.findIndex((phase) => ORDER.indexOf(phase) >= rank)
  return { names, current: ahead === -1 ? steps.length : ahead }
}
