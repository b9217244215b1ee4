import { expect, test } from 'vitest'
import { nameProblem } from './name'

test.each(['production-web-server-v2', ' padded ', 'Großer Server 🚀', '🚀'.repeat(128)])(
  '%s is valid',
  (text) => expect(nameProblem(text)).toBeNull(),
)

test.each([
  ['', 'visible'],
  ['   ', 'visible'],
  ['x'.repeat(129), 'at most 128 characters; this one has 129'],
  ['a\u202eb', 'invisible'],
  ['a\tb', 'control'],
])('%j is invalid', (text, why) => expect(nameProblem(text)).toContain(why))
