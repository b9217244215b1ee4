import { expect, test } from 'vitest'
import { GIB } from '@/lib/format'
import { diskProblem, emptyDiskProblem, parseDiskGib } from './disk'

test.each([
  ['20', 20 * GIB],
  [' 0.5 ', GIB / 2],
  ['0,5', GIB / 2],
  ['', null],
  ['-1', null],
  ['1e3', null],
  ['20G', null],
])('%j is %s bytes', (text, bytes) => expect(parseDiskGib(text)).toBe(bytes))

test('a disk cannot be smaller than its image', () => {
  expect(diskProblem('1', 2 * GIB)).toBe('The image needs a disk of at least 2 GiB.')
  expect(diskProblem('2', 2 * GIB)).toBeNull()
  expect(diskProblem('', 2 * GIB)).toBeNull()
  expect(diskProblem('0', 0)).toContain('Enter a number of GiB')
})

test('an empty disk has a size', () => {
  expect(emptyDiskProblem('20')).toBeNull()
  for (const text of ['', '0', 'much']) expect(emptyDiskProblem(text)).toContain('Enter a number of GiB')
})
