/** Finding images among many, their tags and protection, and names of what no loaded list has. */
import type { Page, Request } from '@playwright/test'
import { call, createImages, expect, expectAccessible, row, runningInstance, signIn, test } from './fixtures'

interface ImageBody {
  id: string
  name: string
  version: number
  status: string
}

const patch = async (page: Page, id: string, body: object) => {
  const { version } = await call<ImageBody>(page, 'GET', `/images/${id}`)
  const headers = { 'If-Match': `"${version}"`, 'Content-Type': 'application/merge-patch+json' }
  return call<ImageBody>(page, 'PATCH', `/images/${id}`, { body, headers })
}

const remove = (page: Page, id: string) =>
  call(page, 'DELETE', `/images/${id}`, { headers: { 'If-Match': '*' } })

const isList = (request: Request, scope: string) => {
  const url = new URL(request.url())
  return (
    url.pathname === '/api/v1/images' &&
    url.searchParams.get('scope') === scope &&
    !url.searchParams.has('ids')
  )
}

/** Makes the lists of images of a scope look as if other images filled them. */
async function emptyLists(page: Page, scope: string): Promise<void> {
  await page.route('**/api/v1/images?*', async (route) => {
    if (!isList(route.request(), scope)) return route.fallback()
    await route.fulfill({ json: { items: [], next_page_token: null } })
  })
}

test('images are searched, filtered and sorted by the server, and the address says how', async ({ page }) => {
  await signIn(page)
  const source = await runningInstance(page)
  const [alpha, beta] = await createImages(page, source, ['find-alpha', 'find-beta'])
  await patch(page, beta ?? '', { description: 'Für den Notfall', tags: ['env=test', 'Kept'] })
  await page.goto('/images')
  const search = page.getByRole('searchbox', { name: 'Search images' })
  const requests: string[] = []
  page.on('request', (request) => {
    if (isList(request, 'own')) requests.push(request.url())
  })
  await search.pressSequentially('NOTFALL find', { delay: 20 })
  await expect(page).toHaveURL(/[?&]q=NOTFALL(\+|%20)find/)
  await expect(row(page, 'find-beta')).toBeVisible()
  await expect(row(page, 'find-alpha')).toHaveCount(0)
  // One request for what was typed, not one for each key.
  expect(requests.filter((url) => url.includes('q=')).length).toBeLessThan(4)
  await search.fill('kept')
  await expect(row(page, 'find-beta')).toBeVisible()

  await search.fill('no-image-has-this')
  await expect(page.getByRole('heading', { name: 'No matching images' })).toBeVisible()
  await page.getByRole('button', { name: 'Show all images' }).click()
  await expect(search).toHaveValue('')
  await expect(page).toHaveURL(/\/images$/)

  await page.goto('/images?q=find-&sort=-name&status=available')
  await expect(search).toHaveValue('find-')
  const links = page.getByRole('table').getByRole('link', { name: /^find-/ })
  await expect(links).toHaveText(['find-beta', 'find-alpha'])
  await page.getByRole('columnheader', { name: 'Name' }).getByRole('button').click()
  await expect(links).toHaveText(['find-alpha', 'find-beta'])
  await expect(page).toHaveURL(/sort=name/)
  await page.goBack()
  await remove(page, alpha ?? '')
  await remove(page, beta ?? '')
})

// A tag that is none is refused by the server.
test.use({ expectedErrors: /the server responded with a status of 400/ })

test('tags are edited, shown as chips and filter the list', async ({ page }) => {
  await signIn(page)
  const source = await runningInstance(page)
  const [first, second] = await createImages(page, source, ['tag-first', 'tag-second'])
  await page.goto(`/images/${first}`)
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Edit' }).click()
  const dialog = page.getByRole('dialog', { name: 'Edit image' })
  await dialog.getByLabel('Tags').fill('Web, env=production')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toBeHidden()
  const tags = page.getByRole('list', { name: 'Tags of tag-first' })
  await expect(tags.getByRole('button')).toHaveText(['env=production', 'Web'])
  await expectAccessible(page)

  await tags.getByRole('button', { name: 'Web' }).click()
  await expect(page).toHaveURL(/\/images\?tag=Web/)
  await expect(row(page, 'tag-first')).toBeVisible()
  await expect(row(page, 'tag-second')).toHaveCount(0)
  await page
    .getByRole('list', { name: 'Tags of tag-first' })
    .getByRole('button', { name: 'env=production' })
    .click()
  const filter = page.getByRole('list', { name: 'Only images with these tags' })
  await expect(filter.getByRole('button')).toHaveText(['Web', 'env=production'])
  await expectAccessible(page)
  await filter.getByRole('button', { name: 'Web' }).click()
  await filter.getByRole('button', { name: 'env=production' }).click()
  await expect(row(page, 'tag-second')).toBeVisible()

  // What the server refuses is said at the field.
  await page.getByRole('button', { name: 'Actions for tag-second' }).click()
  await page.getByRole('menuitem', { name: 'Edit' }).click()
  await dialog.getByLabel('Tags').fill('x'.repeat(65))
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toContainText('A tag has at most 64 characters, this one has 65.')
  await page.keyboard.press('Escape')
  await remove(page, first ?? '')
  await remove(page, second ?? '')
})

test('metadata is set in fields, shown on the image and refused at its field', async ({ page }) => {
  await signIn(page)
  const source = await runningInstance(page)
  const [id] = await createImages(page, source, ['with-metadata'])
  await page.goto(`/images/${id}`)
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Metadata' }).click()
  const dialog = page.getByRole('dialog', { name: 'Metadata' })
  await dialog.getByRole('button', { name: /Machine \(vm_mode\)/ }).click()
  await page.getByRole('option', { name: 'hvm' }).click()
  await dialog.getByLabel('SSH user').fill('Not A User')
  await dialog.getByLabel('Other keys').fill('team=web\nnonsense')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toContainText('this line is “nonsense”')
  await dialog.getByLabel('Other keys').fill('team=web')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toContainText('such as `debian`')
  await dialog.getByLabel('SSH user').fill('debian')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toBeHidden()
  const card = page.getByRole('region', { name: 'Metadata' })
  for (const text of ['vm_mode', 'hvm', 'ssh_user', 'debian', 'team', 'web']) {
    await expect(card.getByText(text, { exact: true })).toBeVisible()
  }
  await expectAccessible(page)
  await remove(page, id ?? '')
})

test('a protected image has a lock, and cannot be deleted until the protection is switched off', async ({
  page,
}) => {
  await signIn(page)
  const source = await runningInstance(page)
  const [id] = await createImages(page, source, ['locked'])
  await page.goto(`/images/${id}`)
  const menu = page.getByRole('button', { name: 'More actions' })
  const edit = page.getByRole('menuitem', { name: 'Edit' })
  const dialog = page.getByRole('dialog', { name: 'Edit image' })
  await menu.click()
  await edit.click()
  await dialog.getByText('Protect from deletion').click()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(page.getByText('Protected', { exact: true })).toBeAttached()
  await menu.click()
  const deletion = page.getByRole('menuitem', { name: 'Delete' })
  await expect(deletion).toHaveAttribute('aria-disabled', 'true')
  await expect(deletion).toContainText('The image is protected.')
  await page.keyboard.press('Escape')
  await page.goto('/images?q=locked')
  await expect(row(page, 'locked').getByText('Protected', { exact: true })).toBeAttached()
  await expectAccessible(page)

  await page.goto(`/images/${id}`)
  await menu.click()
  await edit.click()
  await dialog.getByText('Protect from deletion').click()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toBeHidden()
  await menu.click()
  await deletion.click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'My Images' })).toBeVisible()
})

test('a deletion that failed shows on the image, which can be deleted again', async ({ page }) => {
  await signIn(page)
  const source = await runningInstance(page)
  const [id] = await createImages(page, source, ['sticky'])
  await page.route(`**/api/v1/images/${id}`, async (route) => {
    if (route.request().method() !== 'GET') return route.continue()
    const response = await route.fetch()
    const body = await response.json()
    const failed = {
      status: 'deleting',
      removal_failed: true,
      status_text: 'Image could not be removed -- check tasks for details',
    }
    await route.fulfill({ response, json: { ...body, ...failed } })
  })
  await page.goto(`/images/${id}`)
  await expect(page.getByText('Deletion failed').first()).toBeVisible()
  await expect(page.getByRole('note')).toContainText('The image could not be removed')
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Delete again' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'My Images' })).toBeVisible()
})

test('tasks name images that no loaded list has, and say when one is deleted', async ({ page }) => {
  await signIn(page)
  const source = await runningInstance(page)
  const [id] = await createImages(page, source, ['older-than-the-list'])
  await emptyLists(page, 'own')
  await emptyLists(page, 'all')
  await page.route('**/api/v1/instances?*', async (route) => {
    if (new URL(route.request().url()).searchParams.has('ids')) return route.fallback()
    await route.fulfill({ json: { items: [], next_page_token: null } })
  })
  await page.goto(`/tasks?image_id=${id}`)
  const task = page.getByRole('article', { name: 'Create image, Succeeded' })
  await expect(task.getByRole('link', { name: 'older-than-the-list' })).toBeVisible()
  await expect(task.getByRole('link', { name: source, exact: true })).toBeVisible()
  await expect(page.getByText('Tasks of older-than-the-list.')).toBeVisible()
  await remove(page, id ?? '')
  await expect(task).toContainText('deleted image', { timeout: 60_000 })
})

test('creating an instance shows the image of the address as chosen, and searches on the server', async ({
  page,
}) => {
  await signIn(page)
  const source = await runningInstance(page)
  const [id] = await createImages(page, source, ['not-on-the-first-page'])
  await emptyLists(page, 'own')
  await page.goto(`/instances/new?tab=mine&image=${id}`)
  await expect(page.getByRole('radio', { name: /^not-on-the-first-page/ })).toBeChecked()
  await page.unroute('**/api/v1/images?*')

  // A list of several pages has a search box.
  await page.route('**/api/v1/images?*', async (route) => {
    const url = new URL(route.request().url())
    if (!isList(route.request(), 'own') || url.searchParams.has('q')) return route.fallback()
    await route.fulfill({ json: { items: [], next_page_token: 'more' } })
  })
  await page.goto('/instances/new?tab=mine&image=img_00000000-0000-7000-8000-000000000000')
  await page.goto(`/instances/new?tab=mine&image=${id}`)
  await page.getByRole('searchbox', { name: 'Search My Images' }).fill('FIRST-page')
  await expect(page.getByRole('radio', { name: /^not-on-the-first-page/ })).toHaveCount(1)
  await page.getByRole('searchbox', { name: 'Search My Images' }).fill('nothing-has-this')
  await expect(page.getByText('No image matches these words.')).toBeVisible()
  await expectAccessible(page)
  await remove(page, id ?? '')
})
