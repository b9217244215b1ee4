/** What is really on an image storage: scanned, browsed, adopted and reconciled; connection tests. */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Page } from '@playwright/test'
import { call, expect, expectAccessible, row, signInAsAdmin, test } from './fixtures'

const ORPHAN = 'img_01940000-0000-7000-8000-000000000001.qcow2'
const OTHER_ORPHAN = 'img_01940000-0000-7000-8000-000000000002.qcow2'
const DISK = 'backup/web-1.raw'
/** Foreign files, more than one page of them. */
const FOREIGN = Array.from({ length: 55 }, (_, index) => `many/${String(index).padStart(3, '0')}.bin`)

interface Named {
  id: string
  name: string
}

// Agents report what they can reach every five seconds, and tasks take their time.
test.describe.configure({ timeout: 120_000 })

/** The folder of a storage on this machine, on which the agent of the demo runs as well. */
let folder = ''

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'imprint-objects-'))
})

test.afterAll(() => rm(folder, { recursive: true, force: true }))

/** Writes a file that is old enough to be no work in progress. */
async function writeOld(key: string, bytes: number): Promise<void> {
  const path = join(folder, key)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, Buffer.alloc(bytes, 7))
  const twoHoursAgo = Date.now() / 1000 - 7200
  await utimes(path, twoHoursAgo, twoHoursAgo)
}

/** Adds a storage in the folder, and waits until the agent can use it. */
async function addStorage(page: Page, name: string): Promise<string> {
  const body = { name, role: 'customer', kind: 'local', settings: { path: folder }, weight: 0 }
  const { id } = await call<Named>(page, 'POST', '/admin/image-storages', { body })
  const { items } = await call<{ items: Named[] }>(page, 'GET', '/hypervisors')
  await call(page, 'PUT', `/admin/image-storages/${id}/hypervisors/${items[0]?.id}`)
  const health = async () =>
    (await call<{ health: string }>(page, 'GET', `/admin/image-storages/${id}`)).health
  await expect.poll(health, { timeout: 30_000 }).toBe('healthy')
  return id
}

/** Scans a storage behind the panel's back, and waits until the scan is complete. */
async function scanned(page: Page, id: string): Promise<void> {
  const task = await call<Named>(page, 'POST', `/admin/image-storages/${id}/scans`, { body: {} })
  const state = async () => {
    const { items } = await call<{ items: { id: string; state: string }[] }>(
      page,
      'GET',
      `/admin/image-storages/${id}/scans`,
    )
    return items.find((scan) => scan.id === task.id)?.state
  }
  await expect.poll(state, { timeout: 30_000 }).toBe('complete')
}

/** Expects that a page is accessible and fits the screen, in both themes and on a phone. */
async function expectEveryLook(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [390, 1280]) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.setViewportSize({ width, height: 900 })
      await expectAccessible(page)
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
      expect(overflow, `wider than ${width} px`).toBeLessThanOrEqual(0)
    }
  }
}

const object = (page: Page, key: string) => page.getByRole('row').filter({ hasText: key })

async function choose(page: Page, key: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `Actions for ${key}` }).click()
  await page.getByRole('menuitem', { name: action }).click()
}

test('a storage is scanned, browsed, adopted from and reconciled', async ({ page }) => {
  await Promise.all([ORPHAN, OTHER_ORPHAN, ...FOREIGN].map((key) => writeOld(key, 4096)))
  await writeOld(DISK, 2 ** 20)
  await signInAsAdmin(page)
  const id = await addStorage(page, 'browsed')

  await page.goto(`/image-storages/${id}`)
  await page.getByRole('button', { name: 'Browse' }).click()
  await expect(page.getByRole('heading', { name: 'Not scanned yet' })).toBeVisible()
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Deep scan' }).click()
  await expect(page.getByRole('dialog')).toMatchAriaSnapshot({ name: 'deep-scan.aria.yml' })
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'Scan now' }).click()
  const list = page.getByRole('list', { name: 'What was found' })
  await expect(list).toMatchAriaSnapshot({ name: 'storage-found.aria.yml' })
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Browse browsed')

  // Pages, the class and the beginning of the key.
  const pages = page.getByRole('navigation', { name: 'Pages of objects' })
  await expect(pages).toContainText('1 to 50 of 58')
  await pages.getByRole('button', { name: 'Next' }).click()
  await expect(pages).toContainText('51 to 58 of 58')
  await expect(object(page, 'many/054.bin')).toContainText('4 KiB')
  await pages.getByRole('button', { name: 'Previous' }).click()
  await page.getByRole('combobox', { name: 'Class' }).selectOption('All faults')
  await page.getByRole('searchbox', { name: 'Key begins with' }).fill('img_')
  await expect(page.getByText('2 objects')).toBeVisible()
  await expect(page).toHaveURL(/prefix=img_&class=faults|class=faults&prefix=img_/)
  await expectEveryLook(page)

  const downloading = page.waitForEvent('download')
  await choose(page, ORPHAN, 'Download')
  const download = await downloading
  expect(download.suggestedFilename()).toBe(ORPHAN)
  expect((await readFile(await download.path())).equals(Buffer.alloc(4096, 7))).toBe(true)

  await choose(page, ORPHAN, 'Quarantine')
  await page.getByRole('combobox', { name: 'Class' }).selectOption('Quarantined')
  await expect(object(page, ORPHAN)).toContainText('until')
  await choose(page, ORPHAN, 'Release')
  await expect(page.getByRole('heading', { name: 'No matching objects' })).toBeVisible()
  await page.getByRole('combobox', { name: 'Class' }).selectOption('Orphan')
  await choose(page, ORPHAN, 'Delete')
  const question = page.getByRole('alertdialog')
  await expect(question).toMatchAriaSnapshot({ name: 'object-delete.aria.yml' })
  await expect(question.getByRole('button', { name: 'Cancel' })).toBeFocused()
  await expectAccessible(page)
  await question.getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('article', { name: 'Remove objects, Succeeded' })).toBeVisible()
  await expect(object(page, ORPHAN)).toHaveCount(0)
  expect(existsSync(join(folder, ORPHAN))).toBe(false)

  await page.getByRole('combobox', { name: 'Class' }).selectOption('Any class')
  await page.getByRole('searchbox', { name: 'Key begins with' }).fill('backup/')
  await choose(page, DISK, 'Adopt as an image')
  const adopt = page.getByRole('dialog')
  await expect(adopt.getByLabel('Name')).toHaveValue('web-1')
  await expect(adopt.getByRole('button', { name: /Format/ })).toContainText('raw')
  await adopt.getByRole('button', { name: 'Adopt', exact: true }).click()
  await expect(adopt).toContainText('Choose who gets the image.')
  await expect(adopt).toMatchAriaSnapshot({ name: 'object-adopt.aria.yml' })
  await expectAccessible(page)
  await adopt.getByRole('button', { name: /Account/ }).click()
  await page.getByRole('option', { name: 'demo' }).click()
  await adopt.getByRole('button', { name: 'Adopt', exact: true }).click()
  await expect(object(page, DISK)).toContainText('Available, of demo', { timeout: 30_000 })
  await expect(object(page, DISK).getByRole('link', { name: 'web-1' })).toBeVisible()

  // What was found is on the pages above as well.
  await page.getByRole('link', { name: 'Image Storages' }).click()
  await expect(row(page, 'browsed')).toContainText('58 faults')
})

test('a plan is made, made again after a later scan, applied and continued', async ({ page }) => {
  await Promise.all([ORPHAN, OTHER_ORPHAN, ...FOREIGN].map((key) => writeOld(key, 4096)))
  await signInAsAdmin(page)
  const { items } = await call<{ items: Named[] }>(page, 'GET', '/admin/image-storages')
  const id = items.find(({ name }) => name === 'browsed')?.id ?? ''
  await scanned(page, id)
  await page.goto(`/image-storages/${id}/objects`)
  await page.getByRole('button', { name: 'Reconcile' }).click()
  await expect(page.getByRole('button', { name: /^Quarantine Orphan/ })).toBeVisible()
  await page.getByRole('button', { name: /^Leave alone Foreign/ }).click()
  await page.getByRole('option', { name: 'Delete' }).click()
  await page.getByRole('button', { name: 'Make a plan' }).click()
  const plan = page.getByRole('table', { name: 'Plan' })
  await expect(plan.getByRole('row').filter({ hasText: 'many/000.bin' })).toContainText('and 50 more')
  await expect(plan.getByRole('row').filter({ hasText: ORPHAN })).toContainText('Quarantine')
  await expectEveryLook(page)

  // Files are gone before the plan is applied, and a later scan has seen that.
  await rm(join(folder, OTHER_ORPHAN))
  await scanned(page, id)
  await page.getByRole('button', { name: 'Apply' }).click()
  const question = page.getByRole('alertdialog')
  await expect(question).toMatchAriaSnapshot({ name: 'reconcile-apply.aria.yml' })
  await question.getByLabel('Type browsed to delete 55 objects').fill('browsed')
  await expectAccessible(page)
  await question.getByRole('button', { name: 'Apply and delete 55' }).click()
  await expect(page.getByRole('note').filter({ hasText: 'There was a later scan' })).toBeVisible()
  await expect(question).toBeHidden()
  expect(existsSync(join(folder, 'many/000.bin'))).toBe(true)
  await expect(plan.getByRole('row').filter({ hasText: OTHER_ORPHAN })).toHaveCount(0)

  // The answer to a request that left some objects over, which needs more than 2,000 of them.
  await page.route('**/actions/reconcile', async (route) => {
    const response = await route.fetch()
    const report = await response.json()
    await route.fulfill({ response, json: { ...report, more: !report.dry_run } })
  })
  await page.getByRole('button', { name: 'Apply' }).click()
  await question.getByLabel('Type browsed to delete 55 objects').fill('browsed')
  await question.getByRole('button', { name: 'Apply and delete 55' }).click()
  const done = page.getByRole('table', { name: 'Done' })
  await expect(done.getByRole('row').filter({ hasText: ORPHAN })).toContainText('Quarantine')
  await expect(page.getByRole('article', { name: 'Remove objects, Succeeded' })).toBeVisible()
  for (const key of FOREIGN) expect(existsSync(join(folder, key)), key).toBe(false)
  expect(existsSync(join(folder, ORPHAN))).toBe(true)
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Continue' }).click()
  await expect(page.getByRole('region', { name: 'Plan for the rest' })).toContainText(
    'There is nothing to do.',
  )

  await page.getByRole('button', { name: 'Scan again' }).click()
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Browse browsed')
  await expect(page.getByText('No faults').first()).toBeVisible()
})

test('a connection is tested before a storage is added, and secrets are changed', async ({ page }) => {
  await signInAsAdmin(page)
  await page.goto('/image-storages/new')
  await page.getByRole('button', { name: 'Test connection' }).click()
  await expect(page.getByRole('textbox', { name: 'Path' })).toBeFocused()
  await page.getByRole('textbox', { name: 'Path' }).fill(join(folder, 'nowhere'))
  await page.getByRole('button', { name: 'Test connection' }).click()
  const connection = page.getByRole('region', { name: 'Connection' })
  await expect(connection.getByText('The connection does not work yet')).toBeVisible()
  await expect(connection).toContainText('Setting: Path.')
  await expect(page.getByRole('textbox', { name: 'Path' })).toHaveAttribute('aria-invalid', 'true')
  await expect(page.getByRole('region', { name: 'Settings' })).toContainText('make it or mount it')
  await expectEveryLook(page)
  await page.getByRole('textbox', { name: 'Path' }).fill(folder)
  await expect(page.getByRole('textbox', { name: 'Path' })).not.toHaveAttribute('aria-invalid', 'true')

  const body = { name: 'bucket', role: 'customer', kind: 's3', settings: { bucket: 'images' } }
  const { id } = await call<Named>(page, 'POST', '/admin/image-storages', {
    body: {
      ...body,
      settings: { ...body.settings, 'access-key': 'AKIA', endpoint: 'http://127.0.0.1:9' },
      secrets: { 'secret-key': 'never shown' },
    },
  })
  await page.goto(`/image-storages/${id}`)
  await page.getByRole('button', { name: 'Change secrets' }).click()
  const secrets = page.getByRole('dialog', { name: 'Secrets of bucket' })
  await expect(secrets.getByRole('button', { name: 'Save' })).toBeDisabled()
  await expect(secrets).toMatchAriaSnapshot({ name: 'storage-secrets.aria.yml' })
  await secrets.getByLabel('Session token').fill('typed once')
  await expectAccessible(page)
  await secrets.getByRole('button', { name: 'Save' }).click()
  await expect(secrets).toBeHidden()
  const settings = page.getByRole('region', { name: 'Settings' })
  await expect(settings).toContainText('session-token')
  await expect(page.getByText('typed once')).toHaveCount(0)

  await page.getByRole('button', { name: 'Test connection' }).click()
  const dialog = page.getByRole('dialog', { name: 'Test bucket' })
  await dialog.getByRole('button', { name: 'Test connection' }).click()
  await expect(dialog.getByText('The connection does not work yet')).toBeVisible({ timeout: 30_000 })
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Close' }).last().click()

  await page.getByRole('button', { name: 'Change secrets' }).click()
  await expect(secrets.getByText('Remove Secret key')).toHaveCount(0)
  await secrets.getByText('Remove Session token').click()
  await secrets.getByRole('button', { name: 'Save' }).click()
  await expect(secrets).toBeHidden()
  await expect(settings).not.toContainText('session-token')
  await expect(settings).toContainText('secret-key')
})
