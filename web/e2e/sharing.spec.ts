/** An image is shared with another account: both sides in a browser of their own. */
import type { Browser, Page } from '@playwright/test'
import {
  call,
  createImages,
  expect,
  expectAccessible,
  row,
  runningInstance,
  signIn,
  signInAs,
  signInAsAdmin,
  test,
} from './fixtures'

const FRIEND = 'sharing-friend'
const PASSWORD = 'password of a friend'
const IMAGE = 'shared-image'

/** Opens a page that is signed in to another account. */
async function pageOf(browser: Browser, signedIn: (page: Page) => Promise<void>): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  await signedIn(page)
  return page
}

async function addAccount(browser: Browser): Promise<void> {
  const admin = await pageOf(browser, signInAsAdmin)
  const body = { name: FRIEND, password: PASSWORD, role: 'customer' }
  await call(admin, 'POST', '/admin/accounts', { body })
  await admin.context().close()
}

/** Switches sharing on the Locations page. */
async function switchSharing(admin: Page, on: boolean): Promise<void> {
  await admin.getByRole('link', { name: 'Locations' }).click()
  await admin.getByRole('button', { name: 'Actions for home' }).click()
  await admin.getByRole('menuitem', { name: 'Edit' }).click()
  const dialog = admin.getByRole('dialog', { name: 'Edit home' })
  await dialog.getByText('Customers share images with other accounts').click()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog).toBeHidden()
  const home = admin.getByRole('row').filter({ has: admin.getByText('home', { exact: true }) })
  await expect(home).toContainText(on ? 'Allowed' : 'Off')
}

test('an image is offered, accepted, deployed by another account, and no longer shared', async ({
  page,
  browser,
}) => {
  // Two guests and three accounts take longer than other tests.
  test.slow()
  await addAccount(browser)
  await signIn(page)
  const [image] = await createImages(page, await runningInstance(page), [IMAGE])
  await page.goto(`/images/${image}`)
  const sharing = page.getByRole('region', { name: 'Sharing' })
  await expect(sharing).toContainText('This image is not shared.')
  await sharing.getByRole('button', { name: 'Share' }).click()
  const offer = page.getByRole('dialog', { name: `Share ${IMAGE}` })
  await offer.getByRole('button', { name: 'Share' }).click()
  await expect(offer).toContainText('Enter a name')
  await offer.getByLabel('Account').fill('no-such-account')
  await offer.getByRole('button', { name: 'Share' }).click()
  await expect(offer).toContainText('There is no such account')
  await expectAccessible(page)
  await offer.getByLabel('Account').fill(FRIEND)
  await offer.getByRole('button', { name: /Ends/ }).click()
  await page.getByRole('option', { name: 'In 7 days' }).click()
  await offer.getByRole('button', { name: 'Share' }).click()
  await expect(offer).toBeHidden()
  const share = sharing.getByRole('row').filter({ hasText: FRIEND })
  await expect(share).toContainText('Offered')
  await expectAccessible(page)

  const friend = await pageOf(browser, (other) => signInAs(other, FRIEND, PASSWORD))
  await friend.getByRole('link', { name: 'My Images' }).click()
  await friend.getByRole('tab', { name: 'Shared with me 1' }).click()
  await expect(friend).toHaveURL(/[?&]tab=shared/)
  const offered = friend.getByRole('row').filter({ hasText: IMAGE })
  await expect(offered).toContainText('demo')
  await expect(offered.getByRole('link')).toHaveCount(0)
  await expectAccessible(friend)
  await offered.getByRole('button', { name: `Actions for ${IMAGE}` }).click()
  await friend.getByRole('menuitem', { name: 'Accept' }).click()
  await expect(row(friend, IMAGE)).toContainText('Accepted')
  // The owner sees it without doing anything.
  await expect(share).toContainText('Accepted')

  await row(friend, IMAGE).getByRole('link').click()
  await expect(friend.getByRole('region', { name: 'Details' })).toContainText('Shared by')
  await expect(friend.getByRole('region', { name: 'Details' })).not.toContainText('Source Instance')
  await expect(friend.getByRole('region', { name: 'Tasks' })).toHaveCount(0)
  await expect(friend.getByRole('region', { name: 'Sharing' })).toHaveCount(0)
  await expectAccessible(friend)
  await friend.getByRole('button', { name: 'Create instance' }).click()
  await expect(friend.getByRole('tab', { name: 'Shared with me' })).toHaveAttribute('aria-selected', 'true')
  await expect(friend.getByRole('radio', { name: new RegExp(`^${IMAGE}`) })).toBeChecked()
  await expectAccessible(friend)
  await friend.getByLabel('Name').fill('from-shared')
  await friend.getByRole('button', { name: 'Create instance' }).click()
  await expect(friend.getByRole('heading', { level: 1, name: 'from-shared' })).toBeVisible()
  await expect(friend.getByText('Running', { exact: true }).first()).toBeVisible({ timeout: 60_000 })
  const instance = new URL(friend.url()).pathname

  await friend.goto('/images?tab=shared')
  await expect(row(friend, IMAGE)).toBeVisible()
  await share.getByRole('button', { name: `Actions for ${FRIEND}` }).click()
  await page.getByRole('menuitem', { name: 'Stop sharing' }).click()
  const revoke = page.getByRole('alertdialog', { name: `Stop sharing with ${FRIEND}?` })
  await expect(revoke).toContainText('Instances that were created before are not affected.')
  await expect(revoke.getByRole('button', { name: 'Cancel' })).toBeFocused()
  await expectAccessible(page)
  await revoke.getByRole('button', { name: 'Stop sharing' }).click()
  await expect(share).toContainText('Revoked')
  // It disappears for the recipient without a reload, and the instance stays.
  await expect(friend.getByRole('heading', { name: 'Nothing is shared with you' })).toBeVisible()
  await expectAccessible(friend)
  await friend.goto(`/images/${image}`)
  await expect(friend.getByRole('heading', { level: 1, name: /not found/i })).toBeVisible()
  await friend.goto(instance)
  await expect(friend.getByText('Running', { exact: true }).first()).toBeVisible()

  // Offered again, it is there again, and given up by the recipient.
  await call(page, 'POST', `/images/${image}/shares`, { body: { account: FRIEND } })
  await friend.goto('/images?tab=shared')
  await friend.getByRole('button', { name: `Actions for ${IMAGE}` }).click()
  await friend.getByRole('menuitem', { name: 'Accept' }).click()
  await row(friend, IMAGE).getByRole('link').click()
  await friend.getByRole('button', { name: 'More actions' }).click()
  await friend.getByRole('menuitem', { name: 'Give up' }).click()
  await expectAccessible(friend)
  await friend.getByRole('alertdialog').getByRole('button', { name: 'Give up' }).click()
  await expect(friend.getByRole('heading', { name: 'Nothing is shared with you' })).toBeVisible()
  await expect(share).toContainText('Left')

  const admin = await pageOf(browser, signInAsAdmin)
  await switchSharing(admin, false)
  await page.reload()
  await expect(sharing.getByRole('button', { name: 'Share' })).toBeDisabled()
  await switchSharing(admin, true)
  await page.reload()
  await expect(sharing.getByRole('button', { name: 'Share' })).toBeEnabled()

  await call(friend, 'DELETE', `${instance}`)
  await call(page, 'DELETE', `/images/${image}`, { headers: { 'If-Match': '*' } })
  await friend.context().close()
  await admin.context().close()
})
