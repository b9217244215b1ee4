import { expect, test, vi } from 'vitest'
import { batched } from './batch'

test('what is asked for together is loaded together, each once', async () => {
  const load = vi.fn(async (ids: readonly string[]) =>
    ids.filter((id) => id !== 'gone').map((id) => ({ id })),
  )
  const one = batched(load, 100)
  const all = await Promise.all([one('a'), one('b'), one('a'), one('gone')])
  expect(all).toEqual([{ id: 'a' }, { id: 'b' }, { id: 'a' }, null])
  expect(load.mock.calls).toEqual([[['a', 'b', 'gone']]])
  await one('a')
  expect(load).toHaveBeenCalledTimes(2)
})

test('a request is never larger than the server allows', async () => {
  const load = vi.fn(async (ids: readonly string[]) => ids.map((id) => ({ id })))
  const one = batched(load, 2)
  await Promise.all(['a', 'b', 'c', 'd', 'e'].map(one))
  expect(load.mock.calls.map(([ids]) => ids.length)).toEqual([2, 2, 1])
})

test('a failed request fails what it was for', async () => {
  const one = batched(() => Promise.reject(new Error('down')), 100)
  const both = await Promise.allSettled([one('a'), one('b')])
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})
