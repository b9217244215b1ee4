import { expect, it } from 'vitest'
import type { ReconcileReport } from '@/api/types'
import type { Found } from './objects'
import { addReports, changesOf, choiceOf, deletions, firstKeys } from './reconcile'

const found = (name: Found['class'], actions: Found['actions'], proposed: Found['proposed']): Found => ({
  class: name,
  fault: true,
  count: 3,
  bytes: 10,
  actions,
  proposed,
})
const IMAGE = found('image', [], null)
const FOREIGN = found('foreign', ['quarantine', 'delete'], null)
const FOUND = [
  found('missing', ['repair'], 'repair'),
  found('orphan', ['quarantine', 'delete'], 'quarantine'),
  FOREIGN,
  IMAGE,
]

it('what is proposed is chosen, and foreign files are left alone', () => {
  expect(changesOf(FOUND, {})).toEqual([
    { action: 'repair', class: 'missing' },
    { action: 'quarantine', class: 'orphan' },
  ])
  expect(choiceOf({}, FOREIGN)).toBe('none')
})

it('a choice replaces what is proposed', () => {
  expect(changesOf(FOUND, { missing: 'none', orphan: 'delete', foreign: 'quarantine' })).toEqual([
    { action: 'delete', class: 'orphan' },
    { action: 'quarantine', class: 'foreign' },
  ])
  expect(changesOf(FOUND, { missing: 'none', orphan: 'none' })).toEqual([])
})

it('what is not possible is never sent', () => {
  expect(changesOf([IMAGE], { image: 'delete' })).toEqual([])
})

const report = (values: Partial<ReconcileReport>): ReconcileReport => ({
  scan_id: 'tsk_1',
  dry_run: false,
  entries: [],
  refused: [],
  refused_count: 0,
  more: false,
  task_ids: [],
  ...values,
})
const entry = (action: 'delete' | 'quarantine', count: number) =>
  ({ action, class: 'orphan', count, bytes: count * 10, keys: ['a'] }) as const

it('a request that continues adds to what was done', () => {
  const before = report({
    entries: [{ ...entry('delete', 2000), keys: ['a'] }],
    more: true,
    task_ids: ['t1'],
  })
  const next = report({
    entries: [
      { ...entry('delete', 5), keys: ['b'] },
      { ...entry('quarantine', 1), keys: ['c'] },
    ],
    refused: [{ key: 'd', reason: 'it is in use' }],
    refused_count: 1,
    task_ids: ['t2'],
  })
  const sum = addReports(before, next)
  expect(sum.entries.map(({ action, count, bytes }) => [action, count, bytes])).toEqual([
    ['delete', 2005, 20_050],
    ['quarantine', 1, 10],
  ])
  expect(sum).toMatchObject({ more: false, refused_count: 1, task_ids: ['t1', 't2'] })
  expect(before.entries[0]?.count).toBe(2000)
  expect(addReports(null, next)).toBe(next)
})

it('a question names what is deleted', () => {
  const plan = report({
    entries: [
      { ...entry('quarantine', 1), keys: [] },
      { ...entry('delete', 7), keys: [] },
    ],
  })
  expect(deletions(plan).map(({ count }) => count)).toEqual([7])
  expect(firstKeys({ keys: ['a', 'b', 'c', 'd', 'e', 'f'], count: 30 })).toEqual({
    keys: ['a', 'b', 'c', 'd', 'e'],
    more: 25,
  })
  expect(firstKeys({ keys: ['a'], count: 1 }).more).toBe(0)
})
