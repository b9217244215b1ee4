/** Imports: a file is uploaded, paused, continued after a reload; what is refused says why. */
import type { Page } from '@playwright/test'
import { expect, expectAccessible, signIn, test } from './fixtures'

const MIB = 2 ** 20
const IMPORT = { timeout: 120_000 }

/** Returns a raw disk with the mark of a boot sector, and something in it. */
function disk(size: number, text: string): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.writeUInt16BE(0x55aa, 510)
  bytes.write(text, MIB)
  return bytes
}

const file = (name: string, buffer: Buffer) => ({ name, mimeType: 'application/octet-stream', buffer })

async function openImport(page: Page): Promise<void> {
  await page.getByRole('link', { name: 'My Images' }).click()
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Import image' })).toBeVisible()
}

/** Chooses a file in the dialog of the browser. */
async function choose(page: Page, button: string, chosen: ReturnType<typeof file>): Promise<void> {
  const dialog = page.waitForEvent('filechooser')
  await page.getByRole('button', { name: button }).click()
  await (await dialog).setFiles(chosen)
}

const row = (page: Page, name: string) => page.getByRole('row').filter({ hasText: name })

test('a disk is uploaded, paused, and continued after the page was reloaded', async ({ page }) => {
  test.setTimeout(240_000)
  await signIn(page)
  await openImport(page)
  await expectAccessible(page)
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await expect(page.getByText('Choose a file.')).toBeVisible()
  const image = file('uploaded.raw', disk(40 * MIB, 'uploaded by a browser'))
  await choose(page, 'Choose files', image)
  await expect(page.getByLabel('Name')).toHaveValue('uploaded')
  await expectAccessible(page)

  // The last part does not get through before the page is reloaded.
  let isHeld = true
  await page.route('**/upload/parts/3', async (route) => {
    if (isHeld) return
    await route.continue()
  })
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  const uploads = page.getByRole('region', { name: 'Uploads' })
  await expect(uploads).toContainText('32 MiB of 40 MiB', IMPORT)
  await uploads.getByRole('button', { name: 'Pause' }).click()
  await expect(uploads).toContainText('paused')
  await expectAccessible(page)
  isHeld = false
  await page.reload()
  await expect(uploads).toContainText('the page was reloaded')
  await choose(page, 'Choose uploaded.raw again', file('other.raw', disk(MIB, 'another file')))
  await expect(uploads).toContainText('This is another file')
  await choose(page, 'Choose uploaded.raw again', image)
  await expect(uploads).toBeHidden(IMPORT)
  await expect(row(page, 'uploaded')).toContainText('Available', IMPORT)
  await row(page, 'uploaded').getByRole('link', { name: 'uploaded' }).click()
  await expect(page.getByText('uploaded.raw')).toBeVisible()
  await expectAccessible(page)
})

test('what breaks the rules of the location is refused with the reason', async ({ page }) => {
  await signIn(page)
  await openImport(page)
  const disc = Buffer.alloc(64 * 2048)
  disc.write('\u0001CD001\u0001', 16 * 2048, 'latin1')
  await choose(page, 'Choose files', file('installer.iso', disc))
  await page.getByLabel('Name').fill('installer')
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await expect(row(page, 'installer')).toContainText('Error', IMPORT)
  await row(page, 'installer').getByRole('link', { name: 'installer' }).click()
  await expect(page.getByText('the image of an optical disc').first()).toBeVisible()
  await expect(page.getByText('Install the system from it onto a disk').first()).toBeVisible()
  await expectAccessible(page)
})

test('an address is checked before it is sent, and private networks are refused', async ({ page }) => {
  await signIn(page)
  await openImport(page)
  await page.getByRole('tab', { name: 'On a server' }).click()
  await page.getByLabel('Name').fill('fetched')
  await page.getByLabel('Address of the file').fill('disk.qcow2')
  await page.getByLabel('Header fields').fill('no field')
  await page.getByLabel('Expected digest').fill('sha256:12')
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await expect(page.getByText('Enter the address of the file')).toBeVisible()
  await expect(page.getByText('Write each line as Name: value.')).toBeVisible()
  await expect(page.getByText('Enter sha256:, sha512: or md5: and all of its digits.')).toBeVisible()
  await expectAccessible(page)
  await page.getByLabel('Address of the file').fill('http://127.0.0.1:9/disk.qcow2?signature=secret')
  await page.getByLabel('Header fields').fill('')
  await page.getByLabel('Expected digest').fill('')
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await expect(row(page, 'fetched')).toContainText('Error', IMPORT)
  await row(page, 'fetched').getByRole('link', { name: 'fetched' }).click()
  await expect(page.getByText('http://127.0.0.1:9/disk.qcow2', { exact: true })).toBeVisible()
  await expect(page.getByText('The address of the file cannot be used').first()).toBeVisible()
  await expect(page.getByText('signature=secret')).toHaveCount(0)
})

test('an object of a storage needs its keys, and private networks are refused', async ({ page }) => {
  await signIn(page)
  await openImport(page)
  await page.getByRole('tab', { name: 'In your object storage' }).click()
  await page.getByLabel('Name').fill('from a bucket')
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await expect(page.getByText('Bucket is needed.')).toBeVisible()
  await expect(page.getByText('Secret key is needed.')).toBeVisible()
  await expectAccessible(page)
  await page.getByLabel('Bucket', { exact: true }).fill('disks')
  await page.getByRole('textbox', { name: 'Object' }).fill('web.qcow2')
  await page.getByLabel('Endpoint').fill('http://127.0.0.1:9')
  await page.getByLabel('Access key').fill('AKIATESTS')
  await page.getByLabel('Secret key').fill('secret-of-the-tests')
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await expect(row(page, 'from a bucket')).toContainText('Error', IMPORT)
  await row(page, 'from a bucket').getByRole('link', { name: 'from a bucket' }).click()
  await expect(page.getByText('s3://disks/web.qcow2', { exact: true })).toBeVisible()
  await expect(page.getByText('The address of the file cannot be used').first()).toBeVisible()
})

test('an image at another provider needs its address, its id and a token', async ({ page }) => {
  await signIn(page)
  await openImport(page)
  await page.getByRole('tab', { name: 'At another provider' }).click()
  await page.getByLabel('Name').fill('from elsewhere')
  await page.getByLabel('Id of the image').fill('web')
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await expect(page.getByText('Enter the address of the other panel,')).toBeVisible()
  await expect(page.getByText('Enter the id of the image, which begins with img_.')).toBeVisible()
  await expect(page.getByText('Enter a token of your account there.')).toBeVisible()
  await expectAccessible(page)
  await page.getByLabel('Address of the other panel').fill('http://127.0.0.1:9')
  await page.getByLabel('Id of the image').fill('img_01a22fbc-7ccc-7788-8218-7c39e10d7860')
  await page.getByLabel('Token').fill('token-of-the-tests')
  await page.getByRole('button', { name: 'Import', exact: true }).click()
  await expect(row(page, 'from elsewhere')).toContainText('Error', IMPORT)
  await row(page, 'from elsewhere').getByRole('link', { name: 'from elsewhere' }).click()
  await expect(page.getByText('The address of the file cannot be used').first()).toBeVisible()
  await expect(page.getByText('token-of-the-tests')).toHaveCount(0)
})
