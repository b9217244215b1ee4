import { expect, it } from 'vitest'
import { GIB } from '@/lib/format'
import { parseGib } from '@/lib/typed'
import { parseWeight } from './numbers'

it('a weight is a whole number up to 1000', () => {
  expect(parseWeight(' 0 ')).toEqual({ value: 0, problem: null })
  expect(parseWeight('1000').problem).toBeNull()
  for (const wrong of ['', '-1', '1001', '1.5', 'many']) expect(parseWeight(wrong).problem).not.toBeNull()
})

it('a threshold is a number of GiB or nothing', () => {
  expect(parseGib('')).toEqual({ value: null, problem: null })
  expect(parseGib('20')).toEqual({ value: 20 * GIB, problem: null })
  expect(parseGib('0,5').value).toBe(GIB / 2)
  for (const wrong of ['x', '-1', '1e9', '99999999999999']) expect(parseGib(wrong).problem).not.toBeNull()
})
