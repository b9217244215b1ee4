/** A page that fails its test on console errors and on requests to other servers. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test as base, expect, type Locator, type Page } from '@playwright/test'

export { expect }

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const ACCOUNT = process.env.IMPRINT_ACCOUNT ?? 'demo'
const PASSWORD = process.env.IMPRINT_PASSWORD ?? ''
const ADMIN_PASSWORD = process.env.IMPRINT_ADMIN_PASSWORD ?? ''

/**
 * The browser logs every refused request; tests expect some refusals and check them on the page.
 */
const REFUSED = /the server responded with a status of (401|404|409|412|422|503)/

interface Fixtures {
  page: Page
  /** Errors on the console that a test provokes. */
  expectedErrors: RegExp | undefined
}

export const test = base.extend<Fixtures>({
  expectedErrors: [undefined, { option: true }],
  page: async ({ page, baseURL, expectedErrors }, use) => {
    const faults: string[] = []
    page.on('console', (message) => {
      const text = message.text()
      const isExpected = REFUSED.test(text) || expectedErrors?.test(text)
      if (message.type() === 'error' && !isExpected) faults.push(`console: ${text}`)
    })
    page.on('pageerror', (error) => faults.push(`page: ${error.message}`))
    page.on('request', (request) => {
      const url = request.url()
      if (!url.startsWith(baseURL ?? '') && !url.startsWith('data:') && !url.startsWith('blob:')) {
        faults.push(`request: ${url}`)
      }
    })
    await use(page)
    expect(faults).toEqual([])
  },
})

export const signIn = (page: Page): Promise<void> => signInAs(page, ACCOUNT, PASSWORD)

/** Signs in as the provider's staff. */
export const signInAsAdmin = (page: Page): Promise<void> => signInAs(page, 'admin', ADMIN_PASSWORD)

export async function signInAs(page: Page, account: string, password: string): Promise<void> {
  await page.goto('/')
  await page.getByLabel('Account').fill(account)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await expect(page.getByRole('heading', { level: 1, name: 'Instances' })).toBeVisible()
}

export const credentials = { account: ACCOUNT, password: PASSWORD }

/** Calls the API with the session of a page and returns the body of the response. */
export async function call<T>(
  page: Page,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  { body, headers }: { body?: object; headers?: Record<string, string> } = {},
): Promise<T> {
  const response = await page.request.fetch(`/api/v1${path}`, {
    method,
    headers: {
      'X-Imprint-Csrf': '1',
      ...(method === 'POST' ? { 'Idempotency-Key': randomUUID() } : {}),
      ...headers,
    },
    ...(body ? { data: body } : {}),
  })
  expect(response.ok(), `${method} ${path}: ${await response.text()}`).toBe(true)
  return (await response.json()) as T
}

interface CreatedImage {
  image: { id: string }
}

/** Creates images of a running instance, one after another, and waits until they are available. */
export async function createImages(
  page: Page,
  instance: string,
  names: readonly string[],
): Promise<string[]> {
  const { items } = await call<{ items: { id: string; name: string }[] }>(page, 'GET', '/instances')
  const source = items.find(({ name }) => name === instance)
  const ids: string[] = []
  for (const name of names) {
    const body = { source: { type: 'instance', id: source?.id }, name }
    const { image } = await call<CreatedImage>(page, 'POST', '/images', { body })
    ids.push(image.id)
    const status = async () => (await call<{ status: string }>(page, 'GET', `/images/${image.id}`)).status
    await expect.poll(status, { timeout: 60_000 }).toBe('available')
  }
  return ids
}

/** Returns the row of a table with a name in its first cell. */
export function row(page: Page, name: string): Locator {
  return page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) })
}

/** Returns the name of a running instance. */
export async function runningInstance(page: Page): Promise<string> {
  await page.goto('/instances')
  const running = page.getByRole('row').filter({ hasText: 'Running' }).last()
  await expect(running).toBeVisible({ timeout: 60_000 })
  return ((await running.getByRole('link').first().textContent()) ?? '').trim()
}

interface Violation {
  id: string
  help: string
  nodes: { target: unknown[] }[]
}

/** Expects that the page as it is now has no violation of WCAG 2.2 A and AA. */
export async function expectAccessible(page: Page): Promise<void> {
  // Contrast cannot be measured in the middle of an animation.
  await page.evaluate(() => {
    for (const animation of document.getAnimations()) {
      if (animation.effect?.getComputedTiming().iterations !== Number.POSITIVE_INFINITY) animation.finish()
    }
  })
  await page.evaluate(axeSource)
  const violations = await page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run: (options: object) => Promise<{ violations: Violation[] }> }
    }
    const options = { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }
    return (await axe.run(options)).violations
  })
  expect(
    violations.map(
      ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`,
    ),
  ).toEqual([])
}
