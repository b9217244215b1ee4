import { expect, it } from 'vitest'
import { formatChoices, formatOfKey, nameOfFile, nameOfKey } from './image-file'

it('the format is guessed from the extension', () => {
  expect(formatOfKey('img_0190f3c2.qcow2')).toBe('qcow2')
  expect(formatOfKey('backup/DEBIAN.IMG')).toBe('raw')
  expect(formatOfKey('win.vhdx')).toBe('vhdx')
  for (const key of ['a.tar', 'qcow2', 'a.qcow2/readme', '.qcow2.part', '']) {
    expect(formatOfKey(key)).toBeNull()
  }
  expect(formatChoices.map(({ id }) => id)).toEqual(['qcow2', 'raw', 'vhd', 'vhdx', 'vmdk', 'vdi', 'ova'])
})

it('the name is the key without its folders and extension', () => {
  expect(nameOfKey('backup/web-1.qcow2')).toBe('web-1')
  expect(nameOfKey('backup/web-1.tar')).toBe('web-1.tar')
  expect([...nameOfKey(`${'🦀'.repeat(200)}.raw`)]).toHaveLength(128)
})

it('the name of a packed file is that of what is in it', () => {
  expect(nameOfFile('debian-12.qcow2.xz')).toBe('debian-12')
  expect(nameOfFile('web.raw.GZ')).toBe('web')
  expect(nameOfFile('notes.txt')).toBe('notes.txt')
})
