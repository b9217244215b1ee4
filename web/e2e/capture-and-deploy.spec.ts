/**
 * A running instance is captured and a second one is deployed from its image; the first never
 * stops.
 */
import type { Page } from '@playwright/test'
import { expect, expectAccessible, row, runningInstance, signIn, test } from './fixtures'

/** Guests may run without hardware acceleration; their disks are small. */
const LONG_MS = 5 * 60_000

const CAPTURE_PHASES = ['Queued', 'Preparing', 'Snapshot', 'Copying', 'Finalizing']

/** Records every phase that the page marks as the current one. */
async function recordPhases(page: Page): Promise<void> {
  await page.evaluate(() => {
    const seen: string[] = []
    const record = () => {
      const text = document.querySelector('[aria-current="step"]')?.textContent?.trim()
      if (text && seen.at(-1) !== text) seen.push(text)
    }
    new MutationObserver(record).observe(document.body, { subtree: true, childList: true, attributes: true })
    Object.assign(window, { phasesSeen: seen })
  })
}

const phasesSeen = (page: Page) =>
  page.evaluate(() => (window as unknown as { phasesSeen: string[] }).phasesSeen)

/** Waits until the task on the page ends; fails at once with its text if it did not succeed. */
async function expectSuccess(page: Page, kind: string): Promise<void> {
  const ended = page
    .getByRole('article', { name: new RegExp(`^${kind}, (Succeeded|Failed|Cancelled)$`) })
    .first()
  await expect(ended).toBeVisible({ timeout: LONG_MS })
  await expect(ended).toContainText('Succeeded')
}

test('capture a running instance and deploy a second one from its image', async ({ page }) => {
  test.setTimeout(3 * LONG_MS)
  const stamp = Date.now().toString(36)
  const imageName = `production-web-server-${stamp}`
  const copyName = `web-copy-${stamp}`

  await signIn(page)
  const source = await runningInstance(page)
  await page.getByRole('link', { name: source, exact: true }).click()

  await test.step('press the camera and name the image', async () => {
    await page.getByRole('button', { name: 'Image', exact: true }).click()
    const dialog = page.getByRole('dialog', { name: `Image of ${source}` })
    await expect(dialog.getByText('Only the primary disk')).toBeVisible()
    await expect(dialog.getByText('should not be used as a back-up solution')).toBeVisible()
    await recordPhases(page)
    await dialog.getByLabel('Name').fill(imageName)
    await dialog.getByRole('button', { name: 'Create' }).click()
    await expect(dialog).toBeHidden()
  })

  await test.step('watch its task until the image is Available', async () => {
    await expect(page.getByRole('heading', { level: 1, name: imageName })).toBeVisible()
    await expect(page.getByRole('article', { name: /^Create image/ })).toBeVisible()
    await expectSuccess(page, 'Create image')
    const seen = await phasesSeen(page)
    expect(seen.length).toBeGreaterThan(0)
    expect(seen).toEqual(CAPTURE_PHASES.filter((phase) => seen.includes(phase)))
    await expect(page.getByRole('region', { name: 'Notifications' })).toContainText('Image created')
  })

  await test.step('see it in My Images with its size', async () => {
    await page.getByRole('navigation').getByRole('link', { name: 'My Images' }).click()
    await expect(page.getByRole('columnheader')).toHaveText([
      'Name',
      'Source Instance',
      'Size',
      'Status',
      'Created',
      'Actions',
    ])
    const image = row(page, imageName)
    await expect(image).toContainText('Available')
    await expect(image).toContainText('Image is ready to use for deployments')
    await expect(image).toContainText(source)
    await expect(image.getByRole('cell').nth(2)).toHaveText(/^[1-9][\d.]* (KiB|MiB|GiB)$/)
  })

  await test.step('create a second instance from it', async () => {
    await page.getByRole('button', { name: `Actions for ${imageName}` }).click()
    await page.getByRole('menuitem', { name: 'Create instance' }).click()
    await expect(page.getByRole('tab', { name: 'My Images' })).toHaveAttribute('aria-selected', 'true')
    await expect(page.getByRole('radio', { name: imageName })).toBeChecked()
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill(copyName)
    await page.getByRole('button', { name: 'Create instance' }).click()
    await expect(page.getByRole('heading', { level: 1, name: copyName })).toBeVisible()
    await expect(page.getByRole('article', { name: /^Create instance/ })).toBeVisible()
    await expectSuccess(page, 'Create instance')
  })

  await test.step('both run', async () => {
    await page.getByRole('navigation').getByRole('link', { name: 'Instances' }).click()
    await expect(row(page, copyName)).toContainText('Running', { timeout: LONG_MS })
    await expect(row(page, copyName)).toContainText(imageName)
    await expect(row(page, source)).toContainText('Running')
    await expectAccessible(page)
  })

  await test.step('delete the image after a confirmation; the copy still runs', async () => {
    await page.getByRole('navigation').getByRole('link', { name: 'My Images' }).click()
    await page.getByRole('button', { name: `Actions for ${imageName}` }).click()
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    const question = page.getByRole('alertdialog', { name: `Delete ${imageName}?` })
    await expect(question).toContainText(
      'Deletion is permanent. The image file is removed and cannot be recovered.',
    )
    await question.getByRole('button', { name: 'Cancel' }).click()
    await expect(row(page, imageName)).toContainText('Available')

    await page.getByRole('button', { name: `Actions for ${imageName}` }).click()
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    await question.getByRole('button', { name: 'Delete' }).click()
    await expect(row(page, imageName)).toHaveCount(0, { timeout: LONG_MS })
    await page.getByRole('navigation').getByRole('link', { name: 'Instances' }).click()
    await expect(row(page, copyName)).toContainText('Running')
  })

  await test.step('delete the copy', async () => {
    await page.getByRole('button', { name: `Actions for ${copyName}` }).click()
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
    await expect(row(page, copyName)).toHaveCount(0, { timeout: LONG_MS })
  })
})
