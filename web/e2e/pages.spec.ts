/**
 * Every page: refusals are explained, the keyboard reaches everything, and axe finds no violation.
 */
import {
  call,
  createImages,
  credentials,
  expect,
  expectAccessible,
  row,
  runningInstance,
  signIn,
  test,
} from './fixtures'

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

test('stopping asks for confirmation and says what becomes of the guest', async ({ page }) => {
  await signIn(page)
  const name = await runningInstance(page)
  await page.getByRole('button', { name: `Actions for ${name}` }).click()
  await page.getByRole('menuitem', { name: 'Stop' }).click()
  const question = page.getByRole('alertdialog', { name: `Stop ${name}?` })
  await expect(question).toContainText('Its disk is kept.')
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

test('after an image is deleted, the next row has the focus and a notification says so', async ({ page }) => {
  await signIn(page)
  const source = await runningInstance(page)
  await createImages(page, source, ['focus-kept', 'focus-deleted'])
  await page.goto('/images?q=focus-')
  await page.getByRole('button', { name: 'Actions for focus-deleted' }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await expect(row(page, 'focus-deleted')).toHaveCount(0, { timeout: 60_000 })
  await expect(page.getByRole('link', { name: 'focus-kept', exact: true })).toBeFocused()
  await expect(page.getByRole('region', { name: 'Notifications' })).toContainText('Image deleted')

  await page.getByRole('link', { name: 'focus-kept', exact: true }).click()
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'My Images' })).toBeVisible()
  await expect(page.getByRole('main')).toBeFocused()
})

test('an image that was renamed elsewhere can be renamed and deleted at the second attempt', async ({
  page,
}) => {
  await signIn(page)
  const source = await runningInstance(page)
  const [id] = await createImages(page, source, ['conflict'])
  const renameElsewhere = async (name: string) => {
    const { version } = await call<{ version: number }>(page, 'GET', `/images/${id}`)
    const headers = { 'If-Match': `"${version}"`, 'Content-Type': 'application/merge-patch+json' }
    await call(page, 'PATCH', `/images/${id}`, { body: { name }, headers })
  }
  await page.goto(`/images/${id}`)
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Edit' }).click()
  await renameElsewhere('renamed-elsewhere')
  const dialog = page.getByRole('dialog', { name: 'Edit image' })
  await dialog.getByLabel('Name').fill('renamed-here')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('alert')).toContainText('Its name is now renamed-elsewhere.')
  await expect(dialog.getByLabel('Name')).toHaveValue('renamed-here')
  await expectAccessible(page)
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toBeHidden()
  await expect(page.getByRole('heading', { level: 1, name: 'renamed-here' })).toBeVisible()

  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await renameElsewhere('renamed-twice')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('alertdialog').getByRole('alert')).toContainText('it was not deleted')
  await page
    .getByRole('alertdialog', { name: 'Delete renamed-twice?' })
    .getByRole('button', { name: 'Delete' })
    .click()
  await expect(page.getByRole('heading', { level: 1, name: 'My Images' })).toBeVisible()
})

test('on a narrow screen every tab stop is visible, and the list can be sorted', async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 900 })
  await signIn(page)
  const source = await runningInstance(page)
  const [id] = await createImages(page, source, ['narrow'])
  await page.goto('/images')
  await expect(row(page, 'narrow')).toBeVisible()
  const hidden: string[] = []
  for (let stop = 0; stop < 30; stop += 1) {
    await page.keyboard.press('Tab')
    const focused = await page.evaluate(() => {
      const element = document.activeElement
      if (!element || element === document.body) return 'end'
      const { width, height } = element.getBoundingClientRect()
      return width > 1 && height > 1 && element.checkVisibility() ? 'visible' : element.outerHTML
    })
    if (focused === 'end') break
    if (focused !== 'visible') hidden.push(focused)
  }
  expect(hidden).toEqual([])
  await page.getByRole('combobox', { name: 'Sort' }).selectOption('Name, A to Z')
  await expect(page).toHaveURL(/sort=name/)
  await call(page, 'DELETE', `/images/${id}`, { headers: { 'If-Match': '*' } })
})

test('the page says that it is loading before its script has arrived', async ({ page }) => {
  let deliver = () => {}
  const delivered = new Promise<void>((resolve) => {
    deliver = resolve
  })
  await page.route('**/assets/*.js', async (route) => {
    await delivered
    await route.continue()
  })
  await page.goto('/sign-in', { waitUntil: 'commit' })
  await expect(page.getByRole('status')).toHaveText('Loading Imprint')
  deliver()
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible()
  await expect(page.getByText('Loading Imprint')).toHaveCount(0)
})

test('browsers and robots find the files that they ask for', async ({ page }) => {
  for (const [path, type] of [
    ['/favicon.ico', /^image\//],
    ['/favicon.svg', /^image\/svg/],
    ['/robots.txt', /^text\/plain/],
  ] as const) {
    const response = await page.request.get(path)
    expect(response.status(), path).toBe(200)
    expect(response.headers()['content-type'], path).toMatch(type)
  }
})

test('signing out ends the session', async ({ page }) => {
  await signIn(page)
  await page.getByRole('button', { name: /^Account / }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible()
  await page.goto('/images')
  await expect(page).toHaveURL(/\/sign-in/)
})

test('a session that ended while a page was open is explained, and the page is opened again', async ({
  page,
}) => {
  await signIn(page)
  // The page's own requests wait until the other page is open: a refresh of the list would
  // otherwise notice the end of the session first, now and then.
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  await page.route('**/api/v1/**', async (route) => {
    await released
    await route.continue()
  })
  await page.request.delete('/api/v1/sessions/current', { headers: { 'X-Imprint-Csrf': '1' } })
  await page.getByRole('button', { name: 'Create instance' }).click()
  await expect(page).toHaveURL(/\/instances\/new/)
  release()
  await expect(page.getByRole('note')).toContainText('Your session has ended')
  await expectAccessible(page)
  await page.getByLabel('Account').fill(credentials.account)
  await page.getByLabel('Password').fill(credentials.password)
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { level: 1, name: 'Create instance' })).toBeVisible()
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
