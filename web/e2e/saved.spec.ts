/** SSH keys and user scripts: saved once, chosen when an instance is created. */
import type { Page } from '@playwright/test'
import { call, expect, expectAccessible, signIn, test } from './fixtures'

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me'
const FINGERPRINT = 'SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA'

/** The row of a table that has a cell with a text. */
const row = (page: Page, text: string) =>
  page.getByRole('row').filter({ has: page.getByText(text, { exact: true }) })

async function act(page: Page, name: string, action: string): Promise<void> {
  await page.getByRole('button', { name: `Actions for ${name}` }).click()
  await page.getByRole('menuitem', { name: action }).click()
}

// The server refuses a text that only looks like a key.
test.use({ expectedErrors: /the server responded with a status of 400/ })

test('SSH keys are added, renamed and deleted', async ({ page }) => {
  await signIn(page)
  await page.getByRole('link', { name: 'SSH Keys' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'SSH Keys' })).toBeVisible()
  await expect(page.getByRole('heading', { name: 'No SSH keys' })).toBeVisible()
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Add SSH Key' }).click()
  const adding = page.getByRole('dialog', { name: 'Add SSH Key' })
  await adding.getByLabel('Name').fill('laptop')
  await adding.getByLabel('Public key').fill('not a key')
  await adding.getByRole('button', { name: 'Add SSH Key' }).click()
  await expect(adding).toContainText('is not a public SSH key')
  await expectAccessible(page)
  // It has the form of a key, and only the server sees that it is none.
  await adding.getByLabel('Public key').fill('ssh-ed25519 aGVsbG8=')
  await adding.getByRole('button', { name: 'Add SSH Key' }).click()
  await expect(adding).toContainText('is not a key of this type')
  await adding.getByLabel('Public key').fill(KEY)
  await adding.getByRole('button', { name: 'Add SSH Key' }).click()
  await expect(adding).toBeHidden()
  await expect(row(page, 'laptop')).toContainText('ssh-ed25519')
  await expect(row(page, 'laptop')).toContainText(FINGERPRINT)
  await expectAccessible(page)

  await act(page, 'laptop', 'Rename')
  const renaming = page.getByRole('dialog', { name: 'Rename laptop' })
  await renaming.getByLabel('Name').fill('desktop')
  await renaming.getByRole('button', { name: 'Save' }).click()
  await expect(renaming).toBeHidden()
  await act(page, 'desktop', 'Delete')
  const deleting = page.getByRole('alertdialog', { name: 'Delete desktop?' })
  await expect(deleting).toContainText('Instances that have it keep it.')
  await expectAccessible(page)
  await deleting.getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('heading', { name: 'No SSH keys' })).toBeVisible()
})

test('user scripts are added, changed and deleted', async ({ page }) => {
  await signIn(page)
  await page.getByRole('link', { name: 'User Scripts' }).click()
  await expect(page.getByRole('heading', { name: 'No user scripts' })).toBeVisible()
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Add User Script' }).click()
  const adding = page.getByRole('dialog', { name: 'Add User Script' })
  await adding.getByRole('button', { name: 'Add User Script' }).click()
  await expect(adding).toContainText('Enter a script.')
  await adding.getByLabel('Name').fill('web')
  await adding.getByRole('textbox', { name: 'Script' }).fill('#!/bin/sh\necho web\n')
  await adding.getByRole('button', { name: 'Add User Script' }).click()
  await expect(adding).toBeHidden()
  await expect(row(page, 'web')).toBeVisible()
  await expectAccessible(page)

  await act(page, 'web', 'Edit')
  const editing = page.getByRole('dialog', { name: 'Edit web' })
  await expect(editing.getByRole('textbox', { name: 'Script' })).toHaveValue('#!/bin/sh\necho web\n')
  await editing.getByRole('textbox', { name: 'Script' }).fill('#!/bin/sh\necho changed\n')
  await editing.getByRole('button', { name: 'Save' }).click()
  await expect(editing).toBeHidden()
  await act(page, 'web', 'Edit')
  await expect(editing.getByRole('textbox', { name: 'Script' })).toHaveValue('#!/bin/sh\necho changed\n')
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await act(page, 'web', 'Delete')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click()
  await expect(page.getByRole('heading', { name: 'No user scripts' })).toBeVisible()
})

test('an instance is created with a saved key and a saved script', async ({ page }) => {
  await signIn(page)
  const key = { name: 'laptop', public_key: KEY }
  const { id: keyId } = await call<{ id: string }>(page, 'POST', '/ssh-keys', { body: key })
  const script = { name: 'web', content: '#!/bin/sh\necho web\n' }
  const { id: scriptId } = await call<{ id: string }>(page, 'POST', '/user-scripts', { body: script })
  await page.goto('/instances/new')
  await page
    .getByText(/^Imprint demo Linux/)
    .first()
    .click()
  await page.getByLabel('Name').fill('with-saved')
  await page.getByRole('group', { name: 'Saved SSH keys' }).getByText('laptop').click()
  await page.getByRole('button', { name: /User script$/ }).click()
  await page.getByRole('option', { name: 'web' }).click()
  await expect(page.getByText('The saved script runs at the first boot.')).toBeVisible()
  await expectAccessible(page)
  await page.getByText('Start the instance after it is created').click()
  const sent = page.waitForRequest((request) => request.method() === 'POST')
  await page.getByRole('button', { name: 'Create instance' }).click()
  const body = (await sent).postDataJSON() as object
  expect(body).toMatchObject({ ssh_key_ids: [keyId], user_script_id: scriptId })
  await expect(page.getByRole('heading', { level: 1, name: 'with-saved' })).toBeVisible()
})
