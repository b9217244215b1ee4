import { expect, test } from 'vitest'
import { scriptProblem } from './script'

test('a script is bounded in bytes, not in characters', () => {
  expect(scriptProblem('#!/bin/sh')).toBeNull()
  expect(scriptProblem(' \n')).toBe('Enter a script.')
  expect(scriptProblem('x'.repeat(65536))).toBeNull()
  expect(scriptProblem('é'.repeat(32769))).toContain('65538')
})
