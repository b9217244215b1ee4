import { expect, test } from 'vitest'
import { bytesOf, imagesOf, parseCount, parseImages } from './numbers'

test('a limit of images is a whole number, or nothing', () => {
  expect(parseImages(' 12 ')).toEqual({ value: 12, problem: null })
  expect(parseImages('0').value).toBe(0)
  expect(parseImages('')).toEqual({ value: null, problem: null })
  for (const wrong of ['-1', '1.5', 'ten', '2147483648', '12345678901']) {
    expect(parseImages(wrong).problem, wrong).not.toBeNull()
  }
})

test('a count is a whole number up to the largest', () => {
  expect(parseCount(' 4 ', 4)).toEqual({ value: 4, problem: null })
  for (const wrong of ['', '0', '5', '1.5', '-1', 'two']) {
    expect(parseCount(wrong, 4).problem, wrong).toBe('Enter a whole number from 1 to 4.')
  }
  expect(parseCount('0', 60, 0)).toEqual({ value: 0, problem: null })
})

test('what is used is shown with its limit', () => {
  expect(imagesOf(3, 10)).toBe('3 of 10')
  expect(imagesOf(3, null)).toBe('3')
  expect(bytesOf(2 ** 30, 2 ** 31)).toBe('1 GiB of 2 GiB')
  expect(bytesOf(0, null)).toBe('0 B')
})
