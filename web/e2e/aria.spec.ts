/** The accessibility tree of every page and dialog, as a screen reader gets it. */
import type { Page } from '@playwright/test'
import { createImages, expect, expectAccessible, runningInstance, signIn, test } from './fixtures'

/** Compares with e2e/aria/NAME.aria.yml: values that differ from run to run are patterns there. */
async function expectTree(page: Page, name: string, root = 'main'): Promise<void> {
  await expect(page.getByRole('status', { name: /^Loading/ })).toHaveCount(0)
  await expect(page.locator(root)).toMatchAriaSnapshot({ name: `${name}.aria.yml` })
}

test('signing in', async ({ page }) => {
  await page.goto('/sign-in')
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible()
  await expectTree(page, 'sign-in')
})

test('instances, an instance and the dialogs of an instance', async ({ page }) => {
  await signIn(page)
  const name = await runningInstance(page)
  await expectTree(page, 'frame', 'body')
  await expectTree(page, 'instances')
  await page.getByRole('button', { name: `Actions for ${name}` }).click()
  await expect(page.getByRole('menuitem', { name: 'Delete' })).toBeVisible()
  await expect(page.getByRole('menu')).toMatchAriaSnapshot({ name: 'instance-menu.aria.yml' })
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await expect(page.getByRole('alertdialog')).toMatchAriaSnapshot({ name: 'instance-delete.aria.yml' })
  await page.keyboard.press('Escape')

  await page.getByRole('link', { name, exact: true }).click()
  await expect(page.getByRole('article').first()).toBeVisible()
  await expectTree(page, 'instance')
  await page.getByRole('button', { name: 'Image', exact: true }).click()
  await page.getByRole('button', { name: 'Advanced' }).click()
  await expect(page.getByRole('dialog')).toMatchAriaSnapshot({ name: 'capture.aria.yml' })
})

test('My Images, an image and the dialogs of an image', async ({ page }) => {
  await signIn(page)
  const source = await runningInstance(page)
  await page.goto('/images?q=no-image-has-this-name')
  await expect(page.getByRole('heading', { name: 'No matching images' })).toBeVisible()
  await expectTree(page, 'images-none')

  const [id] = await createImages(page, source, ['aria-image'])
  await page.goto('/images')
  await expect(page.getByRole('link', { name: 'aria-image' }).first()).toBeVisible()
  await expectTree(page, 'images')
  await page.goto(`/images/${id}`)
  await expect(page.getByRole('article').first()).toBeVisible()
  await expectTree(page, 'image')

  const menu = page.getByRole('button', { name: 'More actions' })
  await menu.click()
  await page.getByRole('menuitem', { name: 'Rename' }).click()
  await expect(page.getByRole('dialog')).toMatchAriaSnapshot({ name: 'image-rename.aria.yml' })
  await page.keyboard.press('Escape')
  await menu.click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await expect(page.getByRole('alertdialog')).toMatchAriaSnapshot({ name: 'image-delete.aria.yml' })
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'My Images' })).toBeVisible()
})

test('tasks', async ({ page }) => {
  await signIn(page)
  await page.goto('/tasks?state=succeeded')
  await expect(page.getByRole('article').first()).toBeVisible()
  await expectTree(page, 'tasks')
})

test('creating an instance', async ({ page }) => {
  await signIn(page)
  await page.goto('/instances/new')
  await page.getByRole('radio').first().focus()
  await page.keyboard.press('Space')
  await page.getByRole('button', { name: 'User data' }).click()
  await page.getByRole('button', { name: 'Create instance' }).click()
  await expect(page.getByRole('textbox', { name: 'Name', exact: true })).toBeFocused()
  await expectTree(page, 'instance-create')
})

test('pages that do not exist', async ({ page }) => {
  await signIn(page)
  await page.goto('/images/img_00000000-0000-7000-8000-000000000000')
  await expect(page.getByRole('heading', { name: 'Image not found' })).toBeVisible()
  await expectTree(page, 'image-not-found')
  await page.goto('/nowhere')
  await expect(page.getByRole('heading', { name: 'Page not found' })).toBeVisible()
  await expectTree(page, 'not-found')
})

test.describe('a server that fails', () => {
  test.use({ expectedErrors: /^Problem: / })

  test('shows a page with a heading, what to do and nothing else', async ({ page }) => {
    await page.route('**/api/v1/account', (route) => route.fulfill({ status: 503, body: '' }))
    await page.goto('/instances')
    await expect(page.getByRole('heading', { name: 'This page could not be loaded' })).toBeVisible()
    await expectTree(page, 'error')
    await expectAccessible(page)
  })
})
