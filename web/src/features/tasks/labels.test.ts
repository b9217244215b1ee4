import { describe, expect, test } from 'vitest'
import { endTitle, errorTitle, stepsOf } from './labels'

describe('the steps of a task', () => {
  test('lead from queued to finalizing for a capture', () => {
    const task = { kind: 'image.capture', state: 'running', phase: 'copying' } as const
    expect(stepsOf(task)).toEqual({
      names: ['Queued', 'Preparing', 'Snapshot', 'Copying', 'Finalizing'],
      current: 3,
    })
  })

  test('show the merge of a chain while it lasts', () => {
    expect(stepsOf({ kind: 'image.capture', state: 'running', phase: 'coalesce' })).toEqual({
      names: ['Queued', 'Preparing', 'Merging layers', 'Snapshot', 'Copying', 'Finalizing'],
      current: 2,
    })
    expect(stepsOf({ kind: 'instance.coalesce', state: 'running', phase: 'coalesce' })).toEqual({
      names: ['Queued', 'Preparing', 'Merging layers'],
      current: 2,
    })
  })

  test('are all behind a task that succeeded', () => {
    expect(stepsOf({ kind: 'image.delete', state: 'succeeded', phase: 'done' }).current).toBe(2)
  })

  test('a phase that is not among them counts as the next one', () => {
    expect(stepsOf({ kind: 'instance.start', state: 'running', phase: 'preparing' }).current).toBe(1)
  })

  test('a stopped instance is not said to start', () => {
    expect(stepsOf({ kind: 'instance.stop', state: 'running', phase: 'starting' }).names).toEqual([
      'Queued',
      'Stopping',
    ])
  })
})

test('an end is said in the past', () => {
  expect(endTitle({ kind: 'image.capture', state: 'succeeded' })).toBe('Image created')
  expect(endTitle({ kind: 'image.capture', state: 'failed' })).toBe('Image creation failed')
  expect(endTitle({ kind: 'instance.deploy', state: 'cancelled' })).toBe('Create instance: cancelled')
})

test('a merge that took too long is called by its name', () => {
  expect(errorTitle({ kind: 'image.capture' }, 'coalesce_timeout')).toBe(
    'Image creation failed: Coalesce timeout',
  )
  expect(errorTitle({ kind: 'image.capture' }, 'qemu.vm-gone')).toBe('Image creation failed')
})
