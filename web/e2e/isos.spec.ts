/** ISOs: registered by the provider's staff, mounted by a customer. And a further disk. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from '@playwright/test'
import { call, expect, expectAccessible, signIn, signInAsAdmin, test } from './fixtures'

/** The longest time that a change of a device takes in a guest that is emulated. */
const CHANGE = { timeout: 60_000 }

/** Returns the image of a CD of 64 sectors. */
function imageOfCd(): Buffer {
  const bytes = Buffer.alloc(64 * 2048)
  const at = 16 * 2048
  bytes.write('\u0001CD001\u0001', at, 'latin1')
  bytes.write('SETUP'.padEnd(32), at + 40, 'latin1')
  bytes.writeUInt32LE(64, at + 80)
  bytes.writeUInt32BE(64, at + 84)
  bytes.writeUInt16LE(2048, at + 128)
  return bytes
}

interface Listed {
  items: { id: string; name: string }[]
}

/** Makes a storage for ISOs with one file, which is bound to the hypervisor. */
async function library(page: Page): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'imprint-isos-'))
  writeFileSync(join(folder, 'setup.iso'), imageOfCd())
  const body = { name: 'isos', role: 'iso', kind: 'local', settings: { path: folder, folder: '.' } }
  const storage = await call<{ id: string }>(page, 'POST', '/admin/image-storages', { body })
  const hypervisors = await call<Listed>(page, 'GET', '/admin/hypervisors')
  await call(page, 'PUT', `/admin/image-storages/${storage.id}/hypervisors/${hypervisors.items[0]?.id}`)
}

test('an ISO is registered, mounted and ejected, and a disk is attached and detached', async ({ page }) => {
  test.setTimeout(240_000)
  await signInAsAdmin(page)
  await library(page)
  await page.getByRole('link', { name: 'ISOs' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'ISOs' })).toBeVisible()
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Add ISO' }).click()
  const adding = page.getByRole('dialog', { name: 'Add ISO' })
  await adding.getByRole('button', { name: 'Add ISO' }).click()
  await expect(adding).toContainText('Choose the file, or enter its key.')
  await expectAccessible(page)
  await adding.getByLabel('File', { exact: true }).fill('setup.iso')
  await adding.getByLabel('Name').fill('Setup CD')
  await adding.getByRole('button', { name: 'Add ISO' }).click()
  await expect(adding).toBeHidden()
  const row = page.getByRole('row').filter({ hasText: 'Setup CD' })
  await expect(row).toContainText('Available', CHANGE)

  await page.context().clearCookies()
  await signIn(page)
  await page.getByRole('link', { name: 'demo-1' }).first().click()
  const devices = page.getByRole('region', { name: 'Drive and disks' })
  await expect(devices).toContainText('The drive is empty.')
  await devices.getByRole('button', { name: 'Mount ISO' }).click()
  const mounting = page.getByRole('dialog', { name: 'Mount an ISO on demo-1' })
  await expect(mounting.getByRole('button', { name: /Setup CD/ })).toBeVisible()
  await expectAccessible(page)
  await mounting.getByRole('button', { name: 'Mount', exact: true }).click()
  await expect(devices).toContainText('Setup CD is in the drive.', CHANGE)
  await devices.getByRole('button', { name: 'Eject' }).click()
  await expect(devices).toContainText('The drive is empty.', CHANGE)

  await devices.getByRole('button', { name: 'Attach disk' }).click()
  const attaching = page.getByRole('dialog', { name: 'Attach a disk to demo-1' })
  await attaching.getByLabel('Size, GiB').fill('0.5')
  await attaching.getByRole('button', { name: 'Attach' }).click()
  const further = devices.getByRole('row').filter({ hasText: 'Further disk (not in images)' })
  await expect(further).toContainText('512 MiB', CHANGE)
  await expectAccessible(page)
  await further.getByRole('button', { name: /^Actions for the disk/ }).click()
  await page.getByRole('menuitem', { name: 'Detach and remove' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Detach and remove' }).click()
  await expect(further).toHaveCount(0, CHANGE)
})
