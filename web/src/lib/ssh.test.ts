import { expect, test } from 'vitest'
import { parseSshKeys } from './ssh'

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGm0 me@laptop'

test('each line is a key; comments and empty lines are ignored', () => {
  expect(parseSshKeys(`# mine\n${KEY}\n\n  ecdsa-sha2-nistp256 AAAA== \n`)).toEqual({
    keys: [KEY, 'ecdsa-sha2-nistp256 AAAA=='],
    problem: null,
  })
  expect(parseSshKeys('')).toEqual({ keys: [], problem: null })
})

test('an invalid key is named by its position', () => {
  expect(parseSshKeys(`${KEY}\nhello`).problem).toContain('Key 2')
  expect(parseSshKeys('ssh-ed25519').problem).toContain('Key 1')
})

test('a private key is never sent', () => {
  const { keys, problem } = parseSshKeys('-----BEGIN OPENSSH PRIVATE KEY-----\nabc')
  expect(keys).toEqual([])
  expect(problem).toContain('private key')
})
