import { describe, expect, test } from 'vitest'
import type { TaskKind } from '@/api/types'
import { detailAfterTitle, endTitle, errorTitle, stepsOf } from './labels'

describe('the steps of a task', () => {
  test('lead from queued to finalizing for a capture', () => {
    const task = { kind: 'image.capture', state: 'running', phase: 'copying' } as const
    expect(stepsOf(task)).toEqual({
      names: ['Queued', 'Preparing', 'Snapshot', 'Copying', 'Finalizing'],
      current: 3,
    })
  })

  test('include the merge of the disk layers while it runs', () => {
    expect(stepsOf({ kind: 'image.capture', state: 'running', phase: 'coalesce' })).toEqual({
      names: ['Queued', 'Preparing', 'Merging layers', 'Snapshot', 'Copying', 'Finalizing'],
      current: 2,
    })
    expect(stepsOf({ kind: 'instance.coalesce', state: 'running', phase: 'coalesce' })).toEqual({
      names: ['Queued', 'Preparing', 'Merging layers'],
      current: 2,
    })
  })

  test('are all complete after a task succeeded', () => {
    expect(stepsOf({ kind: 'image.delete', state: 'succeeded', phase: 'done' }).current).toBe(2)
  })

  test('a phase without a step counts as the next step', () => {
    expect(stepsOf({ kind: 'instance.start', state: 'running', phase: 'preparing' }).current).toBe(1)
  })

  test('stopping an instance has a step called Stopping', () => {
    expect(stepsOf({ kind: 'instance.stop', state: 'running', phase: 'starting' }).names).toEqual([
      'Queued',
      'Stopping',
    ])
  })

  test('say what a task does that copies nothing', () => {
    const last = (kind: TaskKind) => stepsOf({ kind, state: 'running', phase: 'copying' }).names.at(-1)
    expect(last('storage.scan')).toBe('Listing')
    expect(last('image.verify')).toBe('Reading')
    expect(last('storage.test')).toBe('Testing')
  })
})

test('the title of an ended task is in the past tense', () => {
  expect(endTitle({ kind: 'image.capture', state: 'succeeded' })).toBe('Image created')
  expect(endTitle({ kind: 'image.capture', state: 'failed' })).toBe('Image creation failed')
  expect(endTitle({ kind: 'instance.deploy', state: 'cancelled' })).toBe('Create instance: cancelled')
})

test('a failure names what failed and why', () => {
  expect(errorTitle({ kind: 'image.capture' }, { title: 'Coalesce timeout' })).toBe(
    'Image creation failed: Coalesce timeout',
  )
})

test.each([
  ['Disk full', 'Disk full.', ''],
  ['Disk full', 'Disk full: 1.0 GiB free.', '1.0 GiB free.'],
  ['Disk full', 'The disk is full.', 'The disk is full.'],
])('after the title %j, the detail %j adds %j', (title, detail, rest) =>
  expect(detailAfterTitle({ title, detail })).toBe(rest),
)
