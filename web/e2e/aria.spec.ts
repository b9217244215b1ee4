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
  await page.getByRole('menuitem', { name: 'Edit' }).click()
  await expect(page.getByRole('dialog')).toMatchAriaSnapshot({ name: 'image-edit.aria.yml' })
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

const STORAGE_FULL = {
  code: 'insufficient_storage',
  title: 'Insufficient storage space on the image storage backend',
  detail: 'Insufficient storage space on the image storage backend: 1.0 GiB free, 2.0 GiB needed.',
  action: 'Delete images that are not needed, or contact the provider; then retry the task.',
  retryable: false,
  reference: 'tsk_00000000-0000-7000-8000-000000000001',
  request_id: 'req_00000000-0000-7000-8000-000000000001',
  operator_detail: null,
}

/** Replaces the newest task in the responses of the server. */
async function replaceTask(page: Page, task: object): Promise<void> {
  await page.route('**/api/v1/tasks?*', async (route) => {
    const response = await route.fetch()
    const body = await response.json()
    body.items = [{ ...body.items[0], kind: 'image.capture', ...task }]
    await route.fulfill({ response, json: body })
  })
}

test('a failed task', async ({ page }) => {
  await signIn(page)
  await replaceTask(page, { state: 'failed', attempt: 3, error: STORAGE_FULL })
  await page.goto('/tasks')
  const task = page.getByRole('article', { name: 'Create image, Failed' })
  await expect(task).toMatchAriaSnapshot({ name: 'task-failed.aria.yml' })
  await expect(task.getByRole('button', { name: 'Technical detail' })).toHaveCount(0)
  await expectAccessible(page)
})

test('a task that is retried, as an administrator sees it', async ({ page }) => {
  await signIn(page)
  const error = { ...STORAGE_FULL, operator_detail: 'write /srv/images/.tmp/1: No space left on device' }
  await replaceTask(page, { state: 'queued', phase: 'queued', attempt: 1, finished_at: null, error })
  await page.goto('/tasks')
  const task = page.getByRole('article', { name: 'Create image, Queued' })
  await task.getByRole('button', { name: 'Technical detail' }).click()
  await expect(task).toMatchAriaSnapshot({ name: 'task-retried.aria.yml' })
  await expectAccessible(page)
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
