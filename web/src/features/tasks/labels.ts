/** The labels of tasks, phases and states. */
import type { Phase, Task, TaskError, TaskKind, TaskState } from '@/api/types'
import type { Tone } from '@/ui/Status'

interface KindLabels {
  title: string
  /** The title after it succeeded. */
  done: string
  /** The title after it failed. */
  failed: string
  steps: readonly Phase[]
}

const KINDS: Record<TaskKind, KindLabels> = {
  'image.capture': {
    title: 'Create image',
    done: 'Image created',
    failed: 'Image creation failed',
    steps: ['queued', 'preparing', 'snapshotting', 'copying', 'finalizing'],
  },
  'image.import': {
    title: 'Import image',
    done: 'Image imported',
    failed: 'Image import failed',
    steps: ['queued', 'preparing', 'receiving', 'copying', 'finalizing'],
  },
  'image.register': {
    title: 'Add stock image',
    done: 'Stock image added',
    failed: 'Adding the stock image failed',
    steps: ['queued', 'preparing', 'copying', 'finalizing'],
  },
  'image.delete': {
    title: 'Delete image',
    done: 'Image deleted',
    failed: 'Image deletion failed',
    steps: ['queued', 'removing'],
  },
  'image.move': {
    title: 'Move image',
    done: 'Image moved',
    failed: 'Moving the image failed',
    steps: ['queued', 'preparing', 'copying', 'finalizing'],
  },
  'image.export': {
    title: 'Export image',
    done: 'Image exported',
    failed: 'Exporting the image failed',
    steps: ['queued', 'preparing', 'copying', 'finalizing'],
  },
  'object.delete': {
    title: 'Remove old file',
    done: 'Old file removed',
    failed: 'Removing the old file failed',
    steps: ['queued', 'removing'],
  },
  'instance.deploy': {
    title: 'Create instance',
    done: 'Instance created',
    failed: 'Instance creation failed',
    steps: ['queued', 'preparing', 'copying', 'finalizing', 'starting'],
  },
  'instance.reinstall': {
    title: 'Reinstall instance',
    done: 'Instance reinstalled',
    failed: 'Reinstalling the instance failed',
    steps: ['queued', 'preparing', 'copying', 'finalizing', 'starting'],
  },
  'instance.start': {
    title: 'Start instance',
    done: 'Instance started',
    failed: 'Starting the instance failed',
    steps: ['queued', 'starting'],
  },
  'instance.stop': {
    title: 'Stop instance',
    done: 'Instance stopped',
    failed: 'Stopping the instance failed',
    steps: ['queued', 'starting'],
  },
  'instance.coalesce': {
    title: 'Merge disk layers',
    done: 'Disk layers merged',
    failed: 'Merging the disk layers failed',
    steps: ['queued', 'preparing', 'coalesce'],
  },
  'instance.delete': {
    title: 'Delete instance',
    done: 'Instance deleted',
    failed: 'Instance deletion failed',
    steps: ['queued', 'removing'],
  },
  'instance.mount_iso': {
    title: 'Mount ISO',
    done: 'ISO mounted',
    failed: 'Mounting the ISO failed',
    steps: ['queued', 'preparing', 'copying', 'finalizing'],
  },
  'instance.eject_iso': {
    title: 'Eject ISO',
    done: 'ISO ejected',
    failed: 'Ejecting the ISO failed',
    steps: ['queued', 'preparing', 'finalizing'],
  },
  'instance.attach_disk': {
    title: 'Attach disk',
    done: 'Disk attached',
    failed: 'Attaching the disk failed',
    steps: ['queued', 'preparing', 'finalizing'],
  },
  'instance.detach_disk': {
    title: 'Detach disk',
    done: 'Disk detached',
    failed: 'Detaching the disk failed',
    steps: ['queued', 'preparing', 'finalizing'],
  },
  'iso.register': {
    title: 'Add ISO',
    done: 'ISO added',
    failed: 'Adding the ISO failed',
    steps: ['queued', 'preparing', 'copying'],
  },
  'storage.scan': {
    title: 'Scan image storage',
    done: 'Image storage scanned',
    failed: 'Image storage scan failed',
    steps: ['queued', 'preparing', 'copying'],
  },
  'storage.clean': {
    title: 'Remove objects',
    done: 'Objects removed',
    failed: 'Removing objects failed',
    steps: ['queued', 'removing'],
  },
  'image.verify': {
    title: 'Verify image',
    done: 'Image verified',
    failed: 'Image verification failed',
    steps: ['queued', 'preparing', 'copying'],
  },
  'storage.test': {
    title: 'Test image storage',
    done: 'Image storage tested',
    failed: 'Image storage test failed',
    steps: ['queued', 'preparing', 'copying'],
  },
}

/** All phases in the order in which tasks go through them. */
const ORDER: readonly Phase[] = [
  'queued',
  'preparing',
  'receiving',
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
  receiving: 'Receiving the file',
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

/** Returns how a task ended, as a title. */
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

/** What a phase is called in kinds of tasks that do something else in it. */
const PHASES_OF_KINDS: Partial<Record<TaskKind, Partial<Record<Phase, string>>>> = {
  'instance.stop': { starting: 'Stopping' },
  'storage.scan': { copying: 'Listing' },
  'image.verify': { copying: 'Reading' },
  'storage.test': { copying: 'Testing' },
}

export function phaseName(phase: Phase, kind: TaskKind): string {
  return PHASES_OF_KINDS[kind]?.[phase] ?? PHASES[phase]
}

export interface StepsView {
  names: string[]
  /** The index of the current step; the number of steps after the task succeeded. */
  current: number
}

/**
 * Adds the merge step while it is the current one: only disks with a backing chain are merged
 * first.
 */
function withCoalesce(steps: readonly Phase[], phase: Phase): readonly Phase[] {
  if (phase !== 'coalesce' || steps.includes(phase)) return steps
  return steps.flatMap((step) => (step === 'preparing' ? [step, phase] : [step]))
}

/** Returns the title of a task that failed: what failed, and why in the words of the catalogue. */
export function errorTitle(task: Pick<Task, 'kind'>, error: Pick<TaskError, 'title'>): string {
  return `${failureTitle(task.kind)}: ${error.title}`
}

/** Returns what the detail of an error adds to its title, for example figures; often nothing. */
export function detailAfterTitle({ title, detail }: Pick<TaskError, 'title' | 'detail'>): string {
  return detail.startsWith(title) ? detail.slice(title.length).replace(/^[\s:.,;]+/, '') : detail
}

/**
 * Returns the steps of a task and the current one; a phase without a step counts as the step after
 * it.
 */
export function stepsOf(task: Pick<Task, 'kind' | 'phase' | 'state'>): StepsView {
  const steps = withCoalesce(KINDS[task.kind].steps, task.phase)
  const names = steps.map((phase) => phaseName(phase, task.kind))
  if (task.state === 'succeeded') return { names, current: steps.length }
  const position = ORDER.indexOf(task.phase)
  const current = steps.findIndex((phase) => ORDER.indexOf(phase) >= position)
  return { names, current: current === -1 ? steps.length : current }
}
