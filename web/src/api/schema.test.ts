import { readFileSync } from 'node:fs'
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript'
import { expect, test } from 'vitest'

test('the types match the golden document; `npm run generate` regenerates them', async () => {
  const golden = new URL('../../../tests/golden/openapi.json', import.meta.url)
  const generated = COMMENT_HEADER + astToString(await openapiTS(golden))
  expect(readFileSync(new URL('./schema.d.ts', import.meta.url), 'utf8')).toBe(generated)
}, 30_000)
