import { expect, test } from 'vitest'
import { metadataPatch, parseMetadata, typedMetadata } from './metadata'

const metadata = { img_config_drive: 'mandatory', os: 'a=b', ssh_user: 'debian', team: 'web ops' }

test('metadata is shown in fields and read again as it was', () => {
  const typed = typedMetadata(metadata)
  expect(typed).toEqual({
    vmMode: '',
    configDrive: 'mandatory',
    sshUser: 'debian',
    others: 'os=a=b\nteam=web ops',
  })
  expect(parseMetadata(typed)).toEqual({ metadata })
  expect(parseMetadata({ ...typed, others: '\n a = 1 \n\n', sshUser: ' ' })).toEqual({
    metadata: { img_config_drive: 'mandatory', a: '1' },
  })
})

test('lines that are no key and value are refused with the line', () => {
  const typed = typedMetadata({})
  expect(parseMetadata({ ...typed, others: 'a=1\nnonsense' })).toEqual({
    problem: 'Write each key as key=value; this line is “nonsense”.',
  })
  expect(parseMetadata({ ...typed, others: '=1' })).toHaveProperty('problem')
  expect(parseMetadata({ ...typed, others: 'a=1\na=2' })).toEqual({ problem: 'a is given twice.' })
  expect(parseMetadata({ ...typed, others: 'ssh_user=x' })).toEqual({
    problem: 'ssh_user has a field of its own above.',
  })
})

test('a patch has what changed, and null for what is gone', () => {
  expect(metadataPatch(metadata, { ssh_user: 'admin', team: 'web ops', new: '' })).toEqual({
    img_config_drive: null,
    os: null,
    ssh_user: 'admin',
    new: '',
  })
  expect(metadataPatch(metadata, metadata)).toEqual({})
})
