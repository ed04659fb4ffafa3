import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeBase32, encodeBase32 } from '../../../ts/base/base32.ts'
import { encodeUtf8 } from '../../../ts/base/bytes.ts'

// RFC 4648 §10, in lower case and without the padding.
test.each([
  ['', ''],
  ['f', 'my'],
  ['fo', 'mzxq'],
  ['foo', 'mzxw6'],
  ['foob', 'mzxw6yq'],
  ['fooba', 'mzxw6ytb'],
  ['foobar', 'mzxw6ytboi'],
])('%j is written as the RFC writes it', (text, base32) => {
  expect(encodeBase32(encodeUtf8(text))).toBe(base32)
  expect(decodeBase32(base32)).toEqual(encodeUtf8(text))
})

test('any bytes come back from their text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      expect(decodeBase32(encodeBase32(bytes))).toEqual(bytes)
    }),
    { numRuns: 1_000 },
  )
})

test('any text is either refused or the only spelling of its bytes', () => {
  const character = fc.constantFrom(...Array.from('abcdefghijklmnopqrstuvwxyz234567'))
  fc.assert(
    fc.property(fc.string({ unit: character, maxLength: 20 }), (text) => {
      const bytes = decodeBase32(text)
      if (bytes !== undefined) expect(encodeBase32(bytes)).toBe(text)
    }),
    { numRuns: 3_000 },
  )
})

test.each([
  ['a length that no bytes have', 'm'],
  ['three left over', 'mzx'],
  ['six left over', 'mzxw6y'],
  ['bits set behind the last byte', 'mz'],
  ['upper case', 'MY'],
  ['padding', 'my======'],
  ['a digit outside the alphabet', 'm1'],
  ['a character beyond ASCII', 'mý'],
  ['a character that looks the same', 'mу'],
  ['a space', 'm '],
])('%s is refused', (_, text) => {
  expect(decodeBase32(text)).toBeUndefined()
})
