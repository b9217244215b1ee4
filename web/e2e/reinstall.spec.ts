/** The disk of an instance is written anew from an image. */
import { call, expect, expectAccessible, signIn, test } from './fixtures'

interface Made {
  instance: { id: string }
  task: { id: string }
}

test('an instance is reinstalled', async ({ page }) => {
  await signIn(page)
  const images = await call<{ items: { id: string }[] }>(page, 'GET', '/images?scope=stock')
  const body = { name: 'to-reinstall', image_id: images.items[0]?.id, start: false }
  const { instance } = await call<Made>(page, 'POST', '/instances', { body })
  await page.goto(`/instances/${instance.id}`)
  await expect(page.getByRole('article', { name: 'Create instance, Succeeded' })).toBeVisible()
  await page.getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Reinstall' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Reinstall to-reinstall' })).toBeVisible()
  const submit = page.getByRole('button', { name: 'Reinstall…' })
  await submit.click()
  await expect(page.getByText('Choose an image', { exact: true })).toBeVisible()
  await expectAccessible(page)

  await page
    .getByText(/^Imprint demo Linux/)
    .first()
    .click()
  await page.getByText('Start the instance after it is reinstalled').click()
  await submit.click()
  const asking = page.getByRole('alertdialog', { name: 'Reinstall to-reinstall?' })
  await expect(asking).toContainText('Everything on the primary disk of to-reinstall is lost.')
  await expectAccessible(page)
  await asking.getByRole('button', { name: 'Cancel' }).click()
  await expect(asking).toBeHidden()
  await submit.click()
  const sent = page.waitForRequest((request) => request.method() === 'POST')
  await asking.getByRole('button', { name: 'Reinstall' }).click()
  expect((await sent).postDataJSON()).toMatchObject({ image_id: images.items[0]?.id, start: false })
  await expect(page.getByRole('heading', { level: 1, name: 'to-reinstall' })).toBeVisible()
  await expect(page.getByRole('article', { name: 'Reinstall instance, Succeeded' })).toBeVisible()
  await call(page, 'DELETE', `/instances/${instance.id}`)
})
