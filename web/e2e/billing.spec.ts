/** Usage and billing: a rate is set by the provider's staff, a customer sees what it costs. */
import {
  createImages,
  expect,
  expectAccessible,
  runningInstance,
  signIn,
  signInAsAdmin,
  test,
} from './fixtures'

test('a rate is previewed and added, and appears in the history', async ({ page }) => {
  await signInAsAdmin(page)
  await page.getByRole('link', { name: 'Billing' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Billing' })).toBeVisible()
  await expectAccessible(page)
  await page.getByRole('tab', { name: 'Rates' }).click()
  await page.getByRole('button', { name: 'Add Version' }).click()
  const dialog = page.getByRole('dialog', { name: 'Add a version of a rate' })
  await dialog.getByLabel('Price of a GB-month').fill('cheap')
  await dialog.getByRole('button', { name: 'Add Version' }).click()
  await expect(dialog).toContainText('Enter a decimal number, such as 50.00.')
  await expectAccessible(page)
  await dialog.getByLabel('Price of a GB-month').fill('0.05')
  await dialog.getByRole('button', { name: 'What would it have cost?' }).click()
  await expect(dialog).toContainText('It would have cost')
  await dialog.getByRole('button', { name: 'Add Version' }).click()
  await expect(dialog).toBeHidden()
  await expect(page.getByRole('row').filter({ hasText: '0.05 EUR per GiB-month' })).toContainText('Later')
  await page.getByRole('button', { name: /^Actions for the rate 0.05 EUR/ }).click()
  await page.getByRole('menuitem', { name: 'End' }).click()
  const ending = page.getByRole('alertdialog', { name: 'End this rate?' })
  await expect(ending).toContainText('It never applies.')
  await ending.getByRole('button', { name: 'End Rate' }).click()
  await expect(ending).toBeHidden()
  await expect(page.getByRole('row').filter({ hasText: 'Ends' })).toContainText('Later')
  await expect(page.getByRole('row').filter({ hasText: '0.05 EUR per GiB-month' })).toHaveCount(0)
  await page.getByRole('tab', { name: 'Months' }).click()
  await page
    .getByRole('button', { name: /^Reconcile / })
    .first()
    .click()
  await expect(page.getByText('everything is as computed')).toBeVisible()
  await expectAccessible(page)
})

test('a customer sees, explains and downloads what an image costs', async ({ page }) => {
  await signIn(page)
  await createImages(page, await runningInstance(page), ['billed'])
  await page.getByRole('link', { name: 'Cloud Usage' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Cloud Usage' })).toBeVisible()
  const images = page.getByRole('region', { name: 'Images' })
  await expect(images.getByRole('row').filter({ hasText: 'billed' })).toBeVisible()
  await expectAccessible(page)
  await images.getByRole('button', { name: /^Explain the charge of billed/ }).click()
  const explained = page.getByRole('dialog', { name: 'How the charge of billed came about' })
  await expect(explained).toContainText('GiB-hours')
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  const download = page.waitForEvent('download')
  await page.getByRole('link', { name: 'CSV', exact: true }).click()
  expect((await download).suggestedFilename()).toMatch(/^usage-\d{4}-\d\d\.csv$/)
  await page.getByRole('button', { name: 'Change Budget' }).click()
  const budget = page.getByRole('dialog', { name: 'Budget of a month' })
  await budget.getByLabel('Amount of a month').fill('50.00')
  await budget.getByRole('button', { name: 'Save' }).click()
  await expect(budget).toBeHidden()
  await expect(page.getByRole('region', { name: 'Budget' })).toContainText('50.00 EUR')
})
