import { expect, it } from 'vitest'
import type { StorageScan } from '@/api/types'
import { OBJECT_CLASSES } from '@/lib/search'
import {
  activeScan,
  CLASS_NAMES,
  classChoices,
  countOf,
  faultCount,
  faultText,
  filterParams,
  foundBy,
  isAdoptable,
  lastComplete,
  objectsText,
} from './objects'

const CLASSES_OF_SCAN: StorageScan['classes'] = [
  { class: 'image', fault: false, count: 1200, bytes: 4096, actions: [], proposed: null },
  {
    class: 'orphan',
    fault: true,
    count: 2,
    bytes: 2048,
    actions: ['quarantine', 'delete'],
    proposed: 'quarantine',
  },
  { class: 'missing', fault: true, count: 1, bytes: 0, actions: ['repair'], proposed: 'repair' },
  { class: 'quarantined', fault: false, count: 0, bytes: 0, actions: ['release', 'delete'], proposed: null },
]

const scan = (values: Partial<StorageScan>): StorageScan => ({
  id: 'tsk_1',
  hypervisor_id: 'hyp_1',
  deep: false,
  state: 'complete',
  objects: 1202,
  bytes: 6144,
  classes: CLASSES_OF_SCAN,
  started_at: '2026-11-30T02:00:00Z',
  finished_at: '2026-11-30T02:01:00Z',
  ...values,
})

it('what a scan found is shown with the faults first', () => {
  expect(foundBy(scan({})).map((found) => found.class)).toEqual(['missing', 'orphan', 'image'])
  expect(faultCount(scan({}))).toBe(3)
  expect(faultText(scan({}))).toBe('1 missing, 2 orphan')
  expect(faultCount(scan({ classes: [] }))).toBe(0)
})

it('the last complete scan counts, whatever runs or failed after it', () => {
  const scans = [scan({ id: 'c', state: 'active' }), scan({ id: 'b', state: 'failed' }), scan({ id: 'a' })]
  expect(lastComplete(scans)?.id).toBe('a')
  expect(activeScan(scans)?.id).toBe('c')
  expect(lastComplete(undefined)).toBeUndefined()
  expect(activeScan(scans.slice(1))).toBeUndefined()
})

it('a filter lists one class, or all that are faults', () => {
  expect(filterParams('image')).toEqual({ class: 'image' })
  expect(filterParams('faults')).toEqual({ fault: true })
  expect(filterParams(undefined)).toEqual({})
  expect(countOf(scan({}), undefined)).toBe(1203)
  expect(countOf(scan({}), 'faults')).toBe(3)
  expect(countOf(scan({}), 'image')).toBe(1200)
  expect(classChoices.map(({ id }) => id)).toEqual([...OBJECT_CLASSES])
})

it('only what nothing refers to can be adopted', () => {
  const adoptable = CLASS_NAMES.filter((name) => isAdoptable({ class: name }))
  expect(adoptable).toEqual(['orphan', 'foreign', 'quarantined'])
})

it('numbers of objects have their size', () => {
  expect(objectsText(1, 512)).toBe('1 object, 512 B')
  expect(objectsText(1, 0)).toBe('1 object')
  expect(objectsText(2000, 2 ** 30)).toBe('2,000 objects, 1 GiB')
})
