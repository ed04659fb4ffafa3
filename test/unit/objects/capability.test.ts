import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeBase32 } from '../../../ts/base/base32.ts'
import { nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { formatReference, parseReadReference, parseReference } from '../../../ts/objects/capability.ts'

const REFUSED = expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const whole = {
  root: new Uint8Array(32).fill(1),
  owner: nodeIdFromBytes(new Uint8Array(32).fill(2)),
  readKey: new Uint8Array(32).fill(3),
}

test('a reference is text and back, with and without the right to read', () => {
  fc.assert(
    fc.property(bytes32, bytes32, fc.option(bytes32, { nil: undefined }), (root, owner, readKey) => {
      const verify = { root, owner: nodeIdFromBytes(owner) }
      const capability = readKey === undefined ? verify : { ...verify, readKey }

      expect(parseReference(formatReference(capability))).toEqual(capability)
    }),
  )
})

test('the form of the text is fixed', () => {
  const verify = encodeBase32(Uint8Array.of(1, ...new Uint8Array(32).fill(1), ...new Uint8Array(32).fill(2)))

  expect(formatReference(whole)).toBe(`espalier:${verify}:${encodeBase32(whole.readKey)}`)
})

test('what stands before the last colon checks and does not read', () => {
  const text = formatReference(whole)
  const check = text.slice(0, text.lastIndexOf(':'))

  expect(parseReference(check)).toEqual({ root: whole.root, owner: whole.owner })
  expect(parseReadReference(text)).toEqual(whole)
  expect(() => parseReadReference(check)).toThrow(REFUSED)
})

describe('anything else is refused', () => {
  const text = formatReference(whole)
  const [, verify = '', key = ''] = text.split(':')
  const version2 = encodeBase32(Uint8Array.of(2, ...new Uint8Array(64)))
  test.each([
    [''],
    ['espalier:'],
    ['espalier::'],
    [`espalier:${verify}:`],
    [`espalier:${verify}:${key}:`],
    [`${text}a`],
    [text.slice(0, -1)],
    [text.toUpperCase()],
    [` ${text}`],
    [`${text}\n`],
    [`http:${verify}:${key}`],
    [`espalier:${key}:${verify}`],
    [`espalier:${version2}:${key}`],
    [`espalier:${verify.slice(0, -8)}:${key}`],
    ['x'.repeat(100_000)],
  ])('%j', (odd) => {
    expect(() => parseReference(odd)).toThrow(REFUSED)
  })

  test('what is no text', () => {
    for (const odd of [undefined, null, 7, {}, new Uint8Array(3)]) {
      expect(() => parseReference(odd as string)).toThrow(REFUSED)
    }
  })

  test('the error does not repeat the key', () => {
    try {
      parseReadReference(`espalier:${verify.slice(1)}:${key}`)
      expect.unreachable()
    } catch (error) {
      expect((error as Error).message).not.toContain(key)
    }
  })
})
