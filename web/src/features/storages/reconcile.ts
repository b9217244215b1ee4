/** What an admin chooses to have done about what a scan found. */
import type {
  ObjectAction,
  ObjectClass,
  ReconcileEntry,
  ReconcileReport,
  StorageReconcile,
} from '@/api/types'
import { ACTIONS, type Found, objectsText } from './objects'

/** What is chosen instead of what is proposed; `none` leaves the objects of a class alone. */
export type Choices = Partial<Record<ObjectClass, ObjectAction | 'none'>>

/** Returns what is to be done about a class: what was chosen, else what is proposed. */
export const choiceOf = (choices: Choices, found: Found): ObjectAction | 'none' =>
  choices[found.class] ?? found.proposed ?? 'none'

/** Returns the changes of a request. They are empty when everything is left alone. */
export function changesOf(found: readonly Found[], choices: Choices): StorageReconcile['changes'] {
  return found.flatMap((one) => {
    const action = choiceOf(choices, one)
    return action === 'none' || !one.actions.includes(action) ? [] : [{ action, class: one.class }]
  })
}

/** Says what an entry of a plan is about, such as `Delete: 2 objects, 1.5 GiB`. */
export const entryText = ({ action, count, bytes }: ReconcileEntry): string =>
  `${ACTIONS[action].label}: ${objectsText(count, bytes)}`

/** Returns the entries of a plan that cannot be undone. */
export const deletions = (report: Pick<ReconcileReport, 'entries'>): ReconcileEntry[] =>
  report.entries.filter(({ action }) => action === 'delete')

/** The most keys that a question names. */
const NAMED = 5

/** Returns the first keys of an entry, and how many more there are. */
export function firstKeys({ keys, count }: Pick<ReconcileEntry, 'keys' | 'count'>): {
  keys: string[]
  more: number
} {
  const named = keys.slice(0, NAMED)
  return { keys: named, more: count - named.length }
}

/** Adds a further report to what was done before, when the same request continues. */
export function addReports(before: ReconcileReport | null, next: ReconcileReport): ReconcileReport {
  if (!before) return next
  const entries = before.entries.map((entry) => ({ ...entry }))
  for (const entry of next.entries) {
    const same = entries.find(({ action, class: name }) => action === entry.action && name === entry.class)
    if (same) {
      same.count += entry.count
      same.bytes += entry.bytes
    } else {
      entries.push(entry)
    }
  }
  return {
    ...next,
    entries,
    refused: [...before.refused, ...next.refused],
    refused_count: before.refused_count + next.refused_count,
    task_ids: [...before.task_ids, ...next.task_ids],
  }
}
