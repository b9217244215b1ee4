/** The words for connection tests, and what a test says of the fields of a form. */
import type { StorageTest, StorageTestStep, Task } from '@/api/types'
import { toSentence } from '@/lib/problem'
import type { Tone } from '@/ui/Status'

export const STEPS: Record<StorageTestStep['step'], string> = {
  settings: 'Settings',
  open: 'Open',
  space: 'Free space',
  write: 'Write',
  stat: 'Look up',
  list: 'List',
  read: 'Read',
  delete: 'Delete',
  gone: 'Gone after deletion',
}

export const STEP_STATUSES: Record<StorageTestStep['status'], { label: string; tone: Tone }> = {
  passed: { label: 'Passed', tone: 'good' },
  failed: { label: 'Failed', tone: 'bad' },
  skipped: { label: 'Skipped', tone: 'idle' },
}

/** Returns what is wrong with each setting, by its name: the first failure of each. */
export function settingProblems(test: StorageTest): Record<string, string> {
  const problems: Record<string, string> = {}
  for (const { status, setting, detail } of test.steps) {
    if (status !== 'failed' || !setting) continue
    problems[setting] ??= toSentence(detail ?? 'The connection test failed because of it')
  }
  return problems
}

/** Whether the result of a test, or why there is none, is still to come. */
export const isPending = (task: Pick<Task, 'state' | 'storage_test'>): boolean =>
  task.state === 'queued' ||
  task.state === 'running' ||
  // The stream of events may say that a test is over before its result is requested.
  (task.state === 'succeeded' && !task.storage_test)

/** Steps in one line: those that were skipped for the same reason share it. */
export interface StepLine {
  steps: StorageTestStep['step'][]
  result: StorageTestStep
}

export function stepLines({ steps }: StorageTest): StepLine[] {
  const lines: StepLine[] = []
  for (const result of steps) {
    const last = lines.at(-1)
    const isSame =
      result.status === 'skipped' && last?.result.status === 'skipped' && last.result.detail === result.detail
    if (last && isSame) last.steps.push(result.step)
    else lines.push({ steps: [result.step], result })
  }
  return lines
}
