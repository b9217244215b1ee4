/** A customer exports an image, downloads the file and deletes the export. */
import { readFileSync } from 'node:fs'
import { createImages, expect, expectAccessible, runningInstance, signIn, test } from './fixtures'

/** The longest time that a small disk takes to be written on a busy machine. */
const MADE = { timeout: 120_000 }

test('an image is exported, downloaded and its export deleted', async ({ page }) => {
  test.slow()
  await signIn(page)
  const [image] = await createImages(page, await runningInstance(page), ['exported-image'])
  await page.goto(`/images/${image}`)
  const exports = page.getByRole('region', { name: 'Exports' })
  await expect(exports).toContainText('There are no exports.')
  await exports.getByRole('button', { name: 'Export' }).click()
  const dialog = page.getByRole('dialog', { name: 'Export exported-image' })
  await dialog.getByRole('button', { name: /Format/ }).click()
  await page.getByRole('option', { name: 'VHDX' }).click()
  await expect(dialog).toContainText('For Hyper-V from Windows Server 2012 on.')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Export' }).click()
  await expect(dialog).toBeHidden()
  const made = exports.getByRole('row').filter({ hasText: 'VHDX' })
  await expect(made).toContainText('Ready', MADE)
  await expectAccessible(page)

  const menu = made.getByRole('button', { name: 'Actions for the export VHDX' })
  await menu.click()
  const starts = page.waitForEvent('download')
  await page.getByRole('menuitem', { name: 'Download' }).click()
  const download = await starts
  expect(download.suggestedFilename()).toBe('exported-image.vhdx')
  expect(
    readFileSync(await download.path())
      .subarray(0, 8)
      .toString('latin1'),
  ).toBe('vhdxfile')

  await menu.click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  const asking = page.getByRole('alertdialog', { name: 'Delete the export VHDX?' })
  await asking.getByRole('button', { name: 'Delete' }).click()
  await expect(exports).toContainText('There are no exports.', MADE)
})

// A destination that is not permitted is refused by the server, with the reason.
test.use({ expectedErrors: /the server responded with a status of 400/ })

test('an export to a bucket says what it needs and why it is refused', async ({ page }) => {
  test.slow()
  await signIn(page)
  const [image] = await createImages(page, await runningInstance(page), ['to-a-bucket'])
  await page.goto(`/images/${image}`)
  await page.getByRole('region', { name: 'Exports' }).getByRole('button', { name: 'Export' }).click()
  const dialog = page.getByRole('dialog', { name: 'Export to-a-bucket' })
  await dialog.getByRole('button', { name: /Where it goes/ }).click()
  await page.getByRole('option', { name: 'A bucket of mine' }).click()
  await dialog.getByRole('button', { name: 'Export' }).click()
  await expect(dialog).toContainText('Bucket is needed.')
  await expectAccessible(page)
  await dialog.getByLabel('Endpoint').fill('http://127.0.0.1:9')
  await dialog.getByLabel('Bucket', { exact: true }).fill('disks')
  await dialog.getByLabel('Access key').fill('AKIA')
  await dialog.getByLabel('Secret key').fill('secret')
  await dialog.getByRole('button', { name: 'Further settings' }).click()
  await dialog.getByRole('textbox', { name: /^Settings/ }).fill('private-networks=true')
  await dialog.getByRole('button', { name: 'Export' }).click()
  await expect(dialog).toContainText('does not permit exports to addresses of private networks')
  await expectAccessible(page)
})
