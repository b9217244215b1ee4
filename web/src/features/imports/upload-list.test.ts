import { expect, test } from 'vitest'
import { rateOf, type Upload } from '@/api/uploads'
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
