/** What tasks, phases and states are called on the screen. */
import type { Phase, Task, TaskKind, TaskState } from '@/api/types'
import type { Tone } from '@/ui/Status'

const KINDS: Record<TaskKind, { title: string; steps: readonly Phase[] }> = {
  'image.capture': {
    title: 'Create image',
    steps: ['queued', 'preparing', 'snapshotting', 'copying', 'finalizing'],
  },
  'image.adopt': { title: 'Add stock image', steps: ['queued', 'preparing', 'copying', 'finalizing'] },
  'image.delete': { title: 'Delete image', steps: ['queued', 'removing'] },
  'instance.deploy': {
    title: 'Create instance',
    steps: ['queued', 'preparing', 'copying', 'finalizing', 'starting'],
  },
  'instance.start': { title: 'Start instance', steps: ['queued', 'starting'] },
  'instance.stop': { title: 'Stop instance', steps: ['queued', 'starting'] },
  'instance.delete': { title: 'Delete instance', steps: ['queued', 'removing'] },
}

/** Phases in the order in which any task goes through them. */
const ORDER: readonly Phase[] = [
  'queued',
  'preparing',
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

/** The steps of a task and where it is in them; a phase that is not among them counts as the one it comes before. */
export function stepsOf(task: Pick<Task, 'kind' | 'phase' | 'state'>): StepsView {
  const { steps } = KINDS[task.kind]
  const names = steps.map((phase) => phaseName(phase, task.kind))
  if (task.state === 'succeeded') return { names, current: steps.length }
  const rank = ORDER.indexOf(task.phase)
  const ahead = steps.findIndex((phase) => ORDER.indexOf(phase) >= rank)
  return { names, current: ahead === -1 ? steps.length : ahead }
}
