import { describe, expect, test } from 'vitest'
import {
  formatBytes,
  formatDuration,
  formatRate,
  NONE,
  percentOf,
  plural,
  rangeText,
  shortId,
} from './format'

describe('sizes', () => {
  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1_610_612_736, '1.5 GiB'],
    [1024 ** 3 - 1, '1023 MiB'],
    [150 * 1024 ** 2 + 1, '150 MiB'],
    [9.99 * 1024 ** 4, '9.9 TiB'],
    [2 ** 62, '4096 PiB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text))

  test.each([null, undefined, -1, Number.NaN])('%s is not a size', (value) =>
    expect(formatBytes(value)).toBe(NONE),
  )

  test('a rate is a size per second', () => {
    expect(formatRate(13_002_342)).toBe('12.3 MiB/s')
    expect(formatRate(null)).toBe(NONE)
  })
})

describe('durations', () => {
  test.each([
    [0, '0 s'],
    [0.4, '0 s'],
    [59.6, '1 min'],
    [200, '3 min 20 s'],
    [3600, '1 h'],
    [3660, '1 h 1 min'],
    [3605, '1 h'],
    [86_400 * 3 + 3600 * 4 + 120, '3 d 4 h'],
  ])('%d seconds are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text))

  test('an unknown duration is not zero', () => expect(formatDuration(null)).toBe(NONE))
})

describe('shares', () => {
  test('100 means complete', () => {
    expect(percentOf(999, 1000)).toBe(99)
    expect(percentOf(1000, 1000)).toBe(100)
    expect(percentOf(2000, 1000)).toBe(100)
    expect(percentOf(-1, 1000)).toBe(0)
  })
  test('an unknown total has no share', () => {
    expect(percentOf(5, null)).toBeNull()
    expect(percentOf(5, 0)).toBeNull()
  })
})

test('one image, two images', () => {
  expect([0, 1, 2].map((count) => plural(count, 'image'))).toEqual(['0 images', '1 image', '2 images'])
})

test('a short id has its kind and its end', () => {
  expect(shortId('img_0190f3c2-7a3b-7c51-8d0f-3a1f0c9b2e11')).toBe('img_…9b2e11')
  expect(shortId('odd')).toBe('odd')
})

test('a range says which part of a list is shown', () => {
  expect(rangeText(0, 100, 100_000)).toBe('1 to 100 of 100,000')
  expect(rangeText(99_900, 100, null)).toBe('99,901 to 100,000')
  expect(rangeText(0, 3, 2)).toBe('1 to 3')
})
