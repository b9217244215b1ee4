/**
 * Every page: refusals are explained, the keyboard reaches everything, and axe finds no violation.
 */
import { credentials, expect, expectAccessible, row, runningInstance, signIn, test } from './fixtures'

test('a wrong password is refused with a reason, and the right one opens the requested page', async ({
  page,
}) => {
  await page.goto('/tasks?state=failed')
  await expect(page).toHaveURL(/\/sign-in\?next=/)
  await page.getByLabel('Account').fill(credentials.account)
  await page.getByLabel('Password').fill('not the password')
  await page.keyboard.press('Enter')
  const refusal = page.getByRole('alert')
  await expect(refusal).toContainText('Account or password is wrong')
  await expect(refusal).toContainText('Request req_')
  await expectAccessible(page)

  await page.getByLabel('Password').fill(credentials.password)
  await page.keyboard.press('Enter')
  await expect(page.getByRole('tab', { name: 'Failed' })).toHaveAttribute('aria-selected', 'true')
})

test('a name that is too long is refused before it is sent', async ({ page }) => {
  await signIn(page)
  const name = await runningInstance(page)
  const sent: string[] = []
  page.on('request', (request) => {
    if (request.method() === 'POST') sent.push(request.url())
  })
  await page.getByRole('button', { name: `Actions for ${name}` }).click()
  await page.getByRole('menuitem', { name: 'Image' }).click()
  const dialog = page.getByRole('dialog')
  await expect(dialog.getByPlaceholder('production-web-server-v2')).toBeFocused()

  await dialog.getByRole('button', { name: 'Create' }).click()
  await expect(dialog).toContainText('Enter a name with at least one visible character.')
  await dialog.getByLabel('Name').fill('x'.repeat(129))
  await dialog.getByRole('button', { name: 'Create' }).click()
  await expect(dialog).toContainText('A name has at most 128 characters; this one has 129.')
  expect(sent).toEqual([])

  await dialog.getByRole('button', { name: 'Advanced' }).click()
  await expect(dialog.getByRole('button', { name: /Compression/ })).toBeVisible()
  await expectAccessible(page)
})

test('deleting asks for confirmation, and Cancel has the focus', async ({ page }) => {
  await signIn(page)
  const name = await runningInstance(page)
  await page.getByRole('button', { name: `Actions for ${name}` }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  const question = page.getByRole('alertdialog', { name: `Delete ${name}?` })
  await expect(question.getByRole('button', { name: 'Cancel' })).toBeFocused()
  await expectAccessible(page)
  await page.keyboard.press('Enter')
  await expect(question).toBeHidden()
  await expect(row(page, name)).toContainText('Running')
})

test('the Image dialog opens and closes by keyboard, and the focus returns', async ({ page }) => {
  await signIn(page)
  const name = await runningInstance(page)
  const menu = page.getByRole('button', { name: `Actions for ${name}` })
  await menu.focus()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('menuitem', { name: 'Image' })).toBeFocused()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('dialog').getByLabel('Name')).toBeFocused()
  await page.keyboard.press('Escape')
  await expect(page.getByRole('dialog')).toBeHidden()
  await expect(menu).toBeFocused()
})

test('a page of something that does not exist says so', async ({ page }) => {
  await signIn(page)
  await page.goto('/images/img_00000000-0000-7000-8000-000000000000')
  await expect(page.getByRole('heading', { name: 'Image not found' })).toBeVisible()
  await page.goto('/instances/ins_00000000-0000-7000-8000-000000000000')
  await expect(page.getByRole('heading', { name: 'Instance not found' })).toBeVisible()
  await page.goto('/nowhere')
  await expect(page.getByRole('heading', { name: 'Page not found' })).toBeVisible()
})

test('signing out ends the session', async ({ page }) => {
  await signIn(page)
  await page.getByRole('button', { name: /^Account / }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible()
  await page.goto('/images')
  await expect(page).toHaveURL(/\/sign-in/)
})

for (const colorScheme of ['light', 'dark'] as const) {
  for (const width of [1280, 390]) {
    test(`every page is accessible: ${colorScheme}, ${width} px`, async ({ page }) => {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      await page.setViewportSize({ width, height: 900 })
      await signIn(page)
      const name = await runningInstance(page)
      await expectAccessible(page)
      await page.getByRole('link', { name, exact: true }).click()
      await expect(page.getByRole('button', { name: 'Image', exact: true })).toBeVisible()
      await expectAccessible(page)
      for (const [path, heading] of [
        ['/images', 'My Images'],
        ['/images?q=no-image-has-this-name', 'No matching images'],
        ['/tasks', 'Tasks'],
        ['/tasks?state=cancelled', 'Tasks'],
        ['/instances/new', 'Create instance'],
        ['/instances/new?tab=mine', 'Create instance'],
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
