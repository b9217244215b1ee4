import { defineConfig } from '@playwright/test'

/** The real server: `IMPRINT_URL`, `IMPRINT_ACCOUNT` and `IMPRINT_PASSWORD` say which and as whom. */
export default defineConfig({
  testDir: 'e2e',
  // Two runs at once need two folders.
  outputDir: process.env.IMPRINT_E2E_OUTPUT ?? 'test-results',
  // One demo machine with one hypervisor: what one test does, the next one sees.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  retries: 0,
  reporter: [['list']],
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
