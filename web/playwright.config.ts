import { defineConfig } from '@playwright/test'

/**
 * Tests a running server: `IMPRINT_URL`, with the account `IMPRINT_ACCOUNT` and `IMPRINT_PASSWORD`.
 */
export default defineConfig({
  testDir: 'e2e',
  // Concurrent runs need separate folders.
  outputDir: process.env.IMPRINT_E2E_OUTPUT ?? 'test-results',
  // The demo has one hypervisor: tests change the same state, so they run one after another.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  retries: 0,
  reporter: [['list']],
  snapshotPathTemplate: 'e2e/aria/{arg}{ext}',
  timeout: 60_000,
  expect: { timeout: 10_000 },
  use: {
    baseURL: process.env.IMPRINT_URL ?? 'http://127.0.0.1:8080',
    viewport: { width: 1280, height: 800 },
    screenshot: 'only-on-failure',
    trace: 'retain-on-failure',
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium-headless-shell',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
})
