import { expect, test } from 'vitest'
import { storageFields, storagePointer, storageProblem, storageSource } from './storage'

test('what is typed becomes settings and secrets', () => {
  const typed = { bucket: ' disks ', key: 'web.qcow2', 'access-key': 'AKIA', 'secret-key': 'x', region: '' }
  expect(storageSource('s3', typed)).toEqual({
    type: 'storage_object',
    kind: 's3',
    key: 'web.qcow2',
    settings: { bucket: 'disks', 'access-key': 'AKIA' },
    secrets: { 'secret-key': 'x' },
  })
  // What was typed for the other kind is not sent.
  expect(storageSource('swift', { ...typed, container: 'disks' }).settings).toEqual({ container: 'disks' })
})

test('fields that are needed say so, and each has its place in the request', () => {
  const missing = (kind: string) =>
    storageFields(kind)
      .filter((field) => storageProblem(field, {}))
      .map(({ name }) => name)
  expect(missing('s3')).toEqual(['bucket', 'key', 'access-key', 'secret-key'])
  expect(missing('swift')).toEqual(['container', 'key', 'auth-url', 'user', 'password', 'project'])
  expect(storageFields('s3').map(storagePointer)).toContain('/source/secrets/secret-key')
  expect(storageFields('s3').map(storagePointer)).toContain('/source/settings/bucket')
  expect(storageFields('swift').map(storagePointer)).toContain('/source/key')
})
