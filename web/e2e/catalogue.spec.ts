/** The catalogue: an admin adds a media group and versions of a stock image, a customer deploys the new one. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from '@playwright/test'
import { call, expect, expectAccessible, row, signIn, signInAsAdmin, test } from './fixtures'

const STORAGE = 'catalogue-files'
const GROUP = 'Tiny systems'
const NOTICE = 'It gets no updates any more.'

interface Named {
  id: string
  name: string
}

// Agents report what they can reach every five seconds, and tasks take their time.
test.describe.configure({ timeout: 180_000 })

/** The folder of a storage on this machine, on which the agent of the demo runs as well. */
let folder = ''

test.beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'imprint-catalogue-'))
  for (const [name, content] of [
    ['tiny-1.9.raw', 1],
    ['tiny-1.10.raw', 2],
  ] as const) {
    await writeFile(join(folder, name), Buffer.alloc(2 ** 20, content))
  }
})

test.afterAll(() => rm(folder, { recursive: true, force: true }))

/** Adds the storage for stock images, and waits until the agent can use it. */
async function addStorage(admin: Page): Promise<string> {
  const body = { name: STORAGE, role: 'stock', kind: 'local', settings: { path: folder } }
  const { id } = await call<Named>(admin, 'POST', '/admin/image-storages', { body })
  const { items } = await call<{ items: Named[] }>(admin, 'GET', '/hypervisors')
  await call(admin, 'PUT', `/admin/image-storages/${id}/hypervisors/${items[0]?.id}`)
  const health = async () =>
    (await call<{ health: string }>(admin, 'GET', `/admin/image-storages/${id}`)).health
  await expect.poll(health, { timeout: 30_000 }).toBe('healthy')
  return id
}

async function choose(page: Page, label: RegExp, option: string): Promise<void> {
  await page.getByRole('button', { name: label }).click()
  await page.getByRole('option', { name: option, exact: true }).click()
}

async function act(page: Page, name: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `Actions for ${name}` }).click()
  await page.getByRole('menuitem', { name: action }).click()
}

/** Adds a version of the family by the page, with its file picked from what a scan found. */
async function addVersion(admin: Page, version: string, first: boolean): Promise<void> {
  await admin.getByRole('button', { name: 'Add Stock Image' }).first().click()
  await expect(admin.getByRole('heading', { level: 1, name: 'Add Stock Image' })).toBeVisible()
  await choose(admin, / Storage$/, STORAGE)
  if (first) {
    await admin.getByRole('button', { name: 'Scan now' }).click()
  }
  await expect(admin.getByRole('button', { name: / Found file$/ })).toBeVisible({ timeout: 60_000 })
  await choose(admin, / Found file$/, `tiny-${version}.raw`)
  await expect(admin.getByLabel('Name')).toHaveValue(`tiny-${version}`)
  await expect(admin.getByRole('button', { name: 'raw Format' })).toBeVisible()
  await admin.getByLabel('Name').fill(`Tiny ${version}`)
  await admin.getByLabel('Description').fill('Boots nothing, and fast.')
  await admin.getByLabel('Family').fill('tiny')
  if (first) {
    await admin.getByRole('button', { name: 'Add Stock Image' }).click()
    await expect(admin.getByText('Enter the version within the family.')).toBeVisible()
    await expectAccessible(admin)
  }
  await admin.getByLabel('Version').fill(version)
  await choose(admin, / Media group$/, GROUP)
  await admin.getByText('Supports cloud-init').click()
  await admin.getByRole('button', { name: 'Add Stock Image' }).click()
  await expect(admin.getByRole('heading', { level: 1, name: 'Stock Images' })).toBeVisible()
  await expect(row(admin, `Tiny ${version}`)).toContainText('Latest', { timeout: 60_000 })
}

/** Opens a page that is signed in as the provider's staff. */
async function adminPage(browser: Browser): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  await signInAsAdmin(page)
  return page
}

test('media groups and versions of a stock image are added, and a customer deploys the new one', async ({
  page,
  browser,
}) => {
  const admin = await adminPage(browser)
  const storage = await addStorage(admin)
  await admin.getByRole('link', { name: 'Media Groups' }).click()
  await expect(admin.getByRole('heading', { name: 'No media groups' })).toBeVisible()
  await expectAccessible(admin)
  for (const label of ['Empty', GROUP]) {
    await admin.getByRole('button', { name: 'Add Media Group' }).click()
    const adding = admin.getByRole('dialog', { name: 'Add Media Group' })
    await adding.getByRole('button', { name: 'Add Media Group' }).click()
    await expect(adding).toContainText('Enter a name with at least one visible character.')
    await expectAccessible(admin)
    await adding.getByLabel('Label').fill(label)
    await adding.getByLabel('Description').fill(`About ${label}.`)
    await adding.getByRole('button', { name: 'Add Media Group' }).click()
    await expect(adding).toBeHidden()
  }
  const labels = admin.getByRole('row').getByText(/^(Empty|Tiny systems)$/)
  await expect(labels).toHaveText(['Empty', GROUP])
  await act(admin, GROUP, 'Move up')
  await expect(labels).toHaveText([GROUP, 'Empty'])
  await expectAccessible(admin)

  await admin.getByRole('link', { name: 'Stock Images' }).click()
  await addVersion(admin, '1.9', true)
  await addVersion(admin, '1.10', false)
  await expect(row(admin, 'Tiny 1.9')).toContainText('Offered')
  await act(admin, 'Tiny 1.9', 'Deprecate')
  const deprecating = admin.getByRole('dialog', { name: 'Deprecate Tiny 1.9' })
  await deprecating.getByLabel('Notice').fill(NOTICE)
  await choose(admin, / Replacement$/, 'Tiny 1.10, 1.10')
  await expectAccessible(admin)
  await deprecating.getByRole('button', { name: 'Save' }).click()
  await expect(row(admin, 'Tiny 1.9')).toContainText('Deprecated')
  await expectAccessible(admin)

  // Both versions are one card, and the deprecated one says what to use instead.
  await signIn(page)
  await page.goto('/instances/new')
  await expect(page.getByRole('heading', { level: 3 }).first()).toHaveText(GROUP)
  const card = page.getByRole('radio', { name: /^Tiny / })
  await expect(card).toHaveCount(1)
  await expect(page.getByText('Boots nothing, and fast.')).toBeVisible()
  await page.getByText('Tiny 1.10', { exact: true }).click()
  await expect(page.getByText('it takes neither SSH keys nor a user script')).toBeVisible()
  await expect(page.getByLabel('SSH keys')).toHaveCount(0)
  await choose(page, / Version$/, '1.9 (deprecated)')
  await expect(page.getByText(NOTICE)).toBeVisible()
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Use Tiny 1.10' }).click()
  await expect(page.getByText(NOTICE)).toHaveCount(0)

  // The admin hides the old version: it is gone for the customer.
  await act(admin, 'Tiny 1.9', 'Hide from customers')
  await expect(row(admin, 'Tiny 1.9')).toContainText('Hidden')
  await page.goto('/instances/new')
  await page.getByText('Tiny 1.10', { exact: true }).click()
  await expect(page.getByRole('button', { name: / Version$/ })).toHaveCount(0)
  await page.getByLabel('Name').fill('from-the-catalogue')
  await page.getByText('Start the instance after it is created').click()
  await page.getByRole('button', { name: 'Create instance' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'from-the-catalogue' })).toBeVisible()
  await expect(page.getByText('Stopped', { exact: true }).first()).toBeVisible({ timeout: 60_000 })
  const instance = new URL(page.url()).pathname
  await page.getByRole('link', { name: 'Tiny 1.10' }).first().click()
  await expect(page.getByRole('region', { name: 'Details' })).toContainText('1.10 (latest)')

  // With its group goes the other one.
  await admin.getByRole('link', { name: 'Media Groups' }).click()
  await act(admin, GROUP, 'Hide from customers')
  await expect(admin.getByRole('row').filter({ hasText: GROUP }).first()).toContainText('Hidden')
  await page.reload()
  await expect(page.getByRole('heading', { name: 'Image not found' })).toBeVisible()
  await page.goto('/instances/new')
  await expect(page.getByText(/^Imprint demo Linux/).first()).toBeVisible()
  await expect(page.getByText(/^Tiny/)).toHaveCount(0)

  await act(admin, GROUP, 'Delete')
  const deleting = admin.getByRole('alertdialog', { name: `Delete ${GROUP}?` })
  await deleting.getByRole('button', { name: 'Delete' }).click()
  await expect(deleting).toContainText('2 stock images are in the media group')
  await deleting.getByRole('button', { name: 'Cancel' }).click()
  await tidyUp(page, admin, instance, storage)
})

/** Leaves the demo as it was for the tests that follow. */
async function tidyUp(page: Page, admin: Page, instance: string, storage: string): Promise<void> {
  await call(page, 'DELETE', instance)
  await admin.getByRole('link', { name: 'Stock Images' }).click()
  for (const name of ['Tiny 1.9', 'Tiny 1.10']) {
    await act(admin, name, 'Delete')
    await admin.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
    await expect(row(admin, name)).toHaveCount(0)
  }
  await admin.getByRole('link', { name: 'Media Groups' }).click()
  for (const label of [GROUP, 'Empty']) {
    await act(admin, label, 'Delete')
    await admin.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
    await expect(admin.getByRole('alertdialog')).toBeHidden()
  }
  await expect(admin.getByRole('heading', { name: 'No media groups' })).toBeVisible()
  const gone = async () => {
    const headers = { 'X-Imprint-Csrf': '1', 'If-Match': '*' }
    const path = `/api/v1/admin/image-storages/${storage}`
    return (await admin.request.delete(path, { headers })).status()
  }
  await expect.poll(gone, { timeout: 60_000 }).toBe(204)
  await admin.context().close()
}
