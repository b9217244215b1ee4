/** Image storages, as the provider's staff manages them. */
import { expect, expectAccessible, row, signIn, signInAsAdmin, test } from './fixtures'

test.describe('managing', () => {
  // A setting that does not match its schema is refused by the server.
  test.use({ expectedErrors: /the server responded with a status of 400/ })

  test('an image storage is added, bound, edited, made read-only and deleted', async ({ page }) => {
    await signInAsAdmin(page)
    await page.getByRole('link', { name: 'Image Storages' }).click()
    await expect(row(page, 'images')).toContainText('Customer images')
    await expect(row(page, 'images')).toContainText('free')
    await expectAccessible(page)

    await page.getByRole('button', { name: 'Add Image Storage' }).click()
    await expect(page.getByRole('heading', { level: 1, name: 'Add Image Storage' })).toBeVisible()
    await expectAccessible(page)
    await page.getByRole('button', { name: 'Add Image Storage' }).click()
    await expect(page.getByText('Enter a name with at least one visible character.')).toBeVisible()
    await page.getByLabel('Name').fill('pool-2')
    await page.getByRole('textbox', { name: 'Path' }).fill('srv/images')
    await page.getByRole('button', { name: 'Add Image Storage' }).click()
    const settings = page.getByRole('region', { name: 'Settings' })
    await expect(settings.getByText(/must match/)).toBeVisible()
    await page.getByRole('textbox', { name: 'Path' }).fill('/tmp')
    await page.getByRole('button', { name: 'Add Image Storage' }).click()
    await expect(page.getByRole('heading', { level: 1, name: 'pool-2' })).toBeVisible()
    await expect(page.getByText('It is bound to no hypervisor, so nothing can use it.')).toBeVisible()
    await expectAccessible(page)

    await page.getByRole('button', { name: 'Bind to a hypervisor' }).click()
    await expectAccessible(page)
    await page.getByRole('dialog').getByRole('button', { name: 'Bind', exact: true }).click()
    const bound = page.getByRole('row').filter({ hasText: 'this-machine' })
    await expect(bound).toContainText('Healthy', { timeout: 30_000 })

    await page.getByRole('button', { name: 'Edit' }).click()
    const dialog = page.getByRole('dialog', { name: 'Edit pool-2' })
    await dialog.getByLabel('Weight').fill('1001')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await expect(dialog).toContainText('Enter a whole number from 0 to 1000.')
    await expectAccessible(page)
    await dialog.getByRole('textbox', { name: 'Path' }).fill('/nowhere/pool-2')
    await dialog.getByRole('button', { name: 'Test connection' }).click()
    await expect(dialog.getByText('Failed', { exact: true })).toBeVisible({ timeout: 30_000 })
    await expect(dialog.getByRole('textbox', { name: 'Path' })).toHaveAttribute('aria-invalid', 'true')
    await expectAccessible(page)
    await dialog.getByRole('textbox', { name: 'Path' }).fill('/tmp')
    await dialog.getByRole('button', { name: 'Test connection' }).click()
    await expect(dialog.getByText('Failed', { exact: true })).toBeHidden({ timeout: 30_000 })
    await dialog.getByLabel('Weight').fill('0')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await expect(dialog).toBeHidden()
    await expect(page.getByText('0: only when asked for')).toBeVisible()

    await page.getByRole('button', { name: 'More actions' }).click()
    await page.getByRole('menuitem', { name: 'Make read-only' }).click()
    await expect(page.getByText('Takes no new images; existing ones are read from it.')).toBeVisible()
    await page.getByRole('button', { name: 'More actions' }).click()
    await page.getByRole('menuitem', { name: 'Drain' }).click()
    await expectAccessible(page)
    await page.getByRole('dialog').getByRole('button', { name: 'Drain', exact: true }).click()
    await expect(page.getByText('It is empty')).toBeVisible()

    await page.getByRole('button', { name: 'Unbind' }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Unbind' }).click()
    await expect(page.getByText('It is bound to no hypervisor, so nothing can use it.')).toBeVisible()
    await page.getByRole('button', { name: 'More actions' }).click()
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    const question = page.getByRole('alertdialog', { name: 'Delete pool-2?' })
    await expect(question.getByRole('button', { name: 'Cancel' })).toBeFocused()
    await expectAccessible(page)
    await question.getByRole('button', { name: 'Delete' }).click()
    await expect(page.getByRole('heading', { level: 1, name: 'Image Storages' })).toBeVisible()
    await expect(row(page, 'pool-2')).toHaveCount(0)
  })
})

test('customers do not see the pages for admins', async ({ page }) => {
  await signIn(page)
  await expect(page.getByRole('link', { name: 'Image Storages' })).toHaveCount(0)
  await page.goto('/image-storages')
  await expect(page.getByRole('heading', { level: 1, name: 'Instances' })).toBeVisible()
})

for (const colorScheme of ['light', 'dark'] as const) {
  for (const width of [1280, 390]) {
    test(`the pages of image storages are accessible: ${colorScheme}, ${width} px`, async ({ page }) => {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.setViewportSize({ width, height: 900 })
      await signInAsAdmin(page)
      for (const [path, heading] of [
        ['/image-storages', 'Image Storages'],
        ['/image-storages?q=no-storage-has-this-name', 'No matching image storages'],
        ['/image-storages/new', 'Add Image Storage'],
        ['/image-storages/sto_00000000-0000-7000-8000-000000000000', 'Image storage not found'],
      ] as const) {
        await page.goto(path)
        await expect(page.getByRole('heading', { name: heading, exact: true })).toBeVisible()
        await expect(page.getByRole('status', { name: /^Loading/ })).toHaveCount(0)
        await expectAccessible(page)
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
        expect(overflow, `${path} is wider than the screen`).toBeLessThanOrEqual(0)
      }
    })
  }
}
