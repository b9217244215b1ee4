import { expect, test } from 'vitest'
import { asProblem, Problem, parseProblem, toSentence } from './problem'

test('problem details keep the texts of the server', () => {
  const problem = parseProblem(
    {
      type: 'about:blank',
      title: 'Maximum image limit reached',
      status: 409,
      detail: 'delete unused images to free up a slot, or contact the provider',
      code: 'image_limit_reached',
      request_id: 'req_1',
      retryable: false,
      errors: [{ pointer: '/name', code: 'invalid_name', detail: 'too long' }, null, { pointer: 3 }],
    },
    409,
  )
  expect(problem).toMatchObject({
    code: 'image_limit_reached',
    title: 'Maximum image limit reached',
    requestId: 'req_1',
  })
  expect(problem.field('/name')).toBe('too long')
  expect(problem.field('/source')).toBeUndefined()
})

test.each([null, 'proxy says no', { title: 7 }])('a body of %j can still be shown', (body) => {
  const problem = parseProblem(body, 502, 'req_2')
  expect(problem.status).toBe(502)
  expect(problem.title).toBe('The server could not complete the request')
  expect(problem.requestId).toBe('req_2')
})

test('a failed fetch becomes the problem that the server cannot be reached', () => {
  expect(asProblem(new TypeError('Failed to fetch'))).toMatchObject({
    status: 0,
    code: 'unreachable',
    retryable: true,
  })
  const problem = new Problem(404, 'not_found', 'Not found', 'there is no such image')
  expect(asProblem(problem)).toBe(problem)
})

test('fragments become sentences', () => {
  expect(toSentence('its agent is silent')).toBe('Its agent is silent.')
  expect(toSentence('Done!')).toBe('Done!')
  expect(toSentence('img_01.qcow2: not a file')).toBe('img_01.qcow2: not a file.')
  expect(toSentence(' ')).toBe('')
})

test('a problem of an item belongs to its field', () => {
  const errors = [{ pointer: '/ssh_keys/1', detail: 'key 2: the line is empty; leave it out' }]
  const problem = parseProblem({ code: 'invalid_request', errors }, 400)
  expect(problem.within('/ssh_keys')).toBe('key 2: the line is empty; leave it out')
  expect(problem.within('/ssh')).toBeUndefined()
  expect(problem.field('/ssh_keys')).toBeUndefined()
})
