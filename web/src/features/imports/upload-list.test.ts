import { expect, test } from 'vitest'
import { isOver, rateOf, type Upload } from '@/api/uploads'
import { parseProblem } from '@/lib/problem'
import { progressText } from './UploadList'

const upload: Upload = {
  imageId: 'img_1',
  name: 'web',
  fileName: 'web.qcow2',
  size: 4 * 2 ** 30,
  received: 2 ** 30,
  state: 'sending',
  rate: 64 * 2 ** 20,
  problem: null,
}

test('an upload says how far it is, how fast, and how long it takes', () => {
  expect(progressText(upload)).toBe('1 GiB of 4 GiB, 64 MiB/s, 48 s left')
  expect(progressText({ ...upload, rate: null })).toBe('1 GiB of 4 GiB')
  expect(progressText({ ...upload, state: 'paused' })).toBe('1 GiB of 4 GiB, paused')
})

test('the rate is that of the last seconds', () => {
  expect(rateOf([])).toBeNull()
  expect(rateOf([{ at: 0, received: 0 }])).toBeNull()
  const samples = [
    { at: 1000, received: 100 },
    { at: 3000, received: 2100 },
  ]
  expect(rateOf(samples)).toBe(1000)
})

test('an import that has ended takes no more of its file, other refusals can be continued after', () => {
  const refused = (code: string, status: number) => parseProblem({ code, status, title: 'x' }, status, null)
  expect(isOver(refused('invalid_transition', 409))).toBe(true)
  expect(isOver(refused('unavailable', 503))).toBe(false)
  expect(isOver(new TypeError('Failed to fetch'))).toBe(false)
})
