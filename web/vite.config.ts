import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

/** The running `imprint serve` that `vite dev` forwards API requests to. */
const server = process.env.IMPRINT_URL ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  // The binary embeds `dist` and sets a Content-Security-Policy: nothing may be inlined as a data
  // URL or a script.
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // One script for all of a customer's pages: they share nearly everything, and its hashed name can
    // be cached permanently. Pages for admins have scripts of their own.
    chunkSizeWarningLimit: 800,
  },
  server: { proxy: { '/api': { target: server, changeOrigin: true } } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
})
