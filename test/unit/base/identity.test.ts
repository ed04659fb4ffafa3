import { expect, test } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import {
  KEY_BYTES,
  NODE_ID_CHARACTERS,
  keyFromBytes,
  keyOfNode,
  nodeIdFromBytes,
  parseNodeId,
} from '../../../ts/base/identity.ts'
import { nodeIdOf } from '../../../ts/base/record.ts'
import { deriveKey, hash } from '../../../ts/native/hash.ts'
import { SigningKey } from '../../../ts/native/sign.ts'

test('a node id is 52 characters for 32 bytes and leads back to its key', () => {
  const bytes = Uint8Array.from({ length: KEY_BYTES }, (_, at) => at * 8)

  const id = nodeIdFromBytes(bytes)

  expect(id).toMatch(/^[a-z2-7]{52}$/)
  expect(id.length).toBe(NODE_ID_CHARACTERS)
  expect(keyOfNode(id)).toEqual(bytes)
  expect(parseNodeId(id)).toBe(id)
})

test('a node id is the derived hash of its public key, and neither the plain hash nor under another context', () => {
  const { publicKey } = SigningKey.fromSeed(new Uint8Array(32).fill(3))

  const id = nodeIdOf({ deriveKey }, publicKey)

  expect(keyOfNode(id)).toEqual(deriveKey('espalier 2026-11 node id v1', publicKey))
  expect(keyOfNode(id)).not.toEqual(hash(publicKey))
  expect(keyOfNode(id)).not.toEqual(deriveKey('espalier 2026-11 node id v2', publicKey))
})

test.each([
  ['nothing', ''],
  ['one character less', 'a'.repeat(51)],
  ['one character more', 'a'.repeat(53)],
  ['upper case', 'A'.repeat(52)],
  ['a foreign digit', `${'a'.repeat(51)}1`],
  ['bits behind the last byte', `${'a'.repeat(51)}b`],
  ['a million characters', 'a'.repeat(1_000_000)],
])('%s is no node id', (_, text) => {
  expect(codeOf(() => parseNodeId(text))).toBe('INVALID_ARGUMENT')
})

test('a key has 32 bytes, not one more or less', () => {
  expect(keyFromBytes(new Uint8Array(32)).byteLength).toBe(32)
  for (const length of [0, 31, 33]) {
    expect(codeOf(() => keyFromBytes(new Uint8Array(length)))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => nodeIdFromBytes(new Uint8Array(length)))).toBe('INVALID_ARGUMENT')
  }
})

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
