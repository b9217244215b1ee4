import { expect, test } from 'vitest'
import {
  digestProblem,
  headersProblem,
  imageIdProblem,
  parseHeaders,
  serverProblem,
  urlProblem,
} from './typed'

test('an address is one of the web', () => {
  expect(urlProblem(' https://user:x@h.example/disk.qcow2?sig=1 ')).toBeNull()
  for (const wrong of ['', 'disk.qcow2', 'ftp://h/x', 'file:///etc/passwd', 'https://']) {
    expect(urlProblem(wrong), wrong).not.toBeNull()
  }
})

test('a digest has its algorithm and all of its digits', () => {
  expect(digestProblem('')).toBeNull()
  expect(digestProblem(`SHA256:${'aB'.repeat(32)}`)).toBeNull()
  expect(digestProblem(`md5:${'0'.repeat(32)}`)).toBeNull()
  for (const wrong of ['sha256:', 'a'.repeat(64), `sha1:${'0'.repeat(40)}`, `sha256:${'g'.repeat(64)}`]) {
    expect(digestProblem(wrong), wrong).not.toBeNull()
  }
})

test('header fields are lines', () => {
  expect(parseHeaders('Authorization: Bearer a:b\n\n X-Key:y ')).toEqual({
    Authorization: 'Bearer a:b',
    'X-Key': 'y',
  })
  expect(headersProblem('Authorization: Bearer x')).toBeNull()
  expect(headersProblem('')).toBeNull()
  for (const wrong of ['no field', ': x', 'Name:', 'a b: c']) {
    expect(headersProblem(wrong), wrong).not.toBeNull()
  }
})

test('another provider is named by its address alone', () => {
  expect(serverProblem(' https://cloud.example.com/ ')).toBeNull()
  for (const wrong of [
    '',
    'cloud.example.com',
    'https://u:p@h',
    'https://h/?x=1',
    'https://h/#x',
    'ftp://h',
  ]) {
    expect(serverProblem(wrong), wrong).not.toBeNull()
  }
  expect(imageIdProblem('img_01a22fbc-7ccc-7788-8218-7c39e10d7860')).toBeNull()
  for (const wrong of ['', 'web', 'img_', 'ins_01a22fbc-7ccc-7788-8218-7c39e10d7860']) {
    expect(imageIdProblem(wrong), wrong).not.toBeNull()
  }
})
