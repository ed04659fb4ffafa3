import { expect, test } from 'vitest'
import { DecapsulationKey, encapsulate, open, seal } from '../../../ts/crypto.ts'
import { codeOf, flipped, pattern, sameBytes } from './support.ts'

test('both sides of an encapsulation share a secret, a changed ciphertext gives another', () => {
  const key = DecapsulationKey.generate()

  const { ciphertext, sharedSecret } = encapsulate(key.encapsulationKey)

  expect(key.decapsulate(ciphertext)).toEqual(sharedSecret)
  expect(key.decapsulate(flipped(ciphertext, 500))).not.toEqual(sharedSecret)
  expect(encapsulate(key.encapsulationKey).sharedSecret).not.toEqual(sharedSecret)
  expect(DecapsulationKey.fromSeed(pattern(64)).encapsulationKey).toEqual(
    DecapsulationKey.fromSeed(pattern(64)).encapsulationKey,
  )
})

test('an encapsulation key over the modulus is refused', () => {
  const key = Uint8Array.from(DecapsulationKey.generate().encapsulationKey)
  key.fill(0xff, 0, 3)

  expect(codeOf(() => encapsulate(key))).toBe('KEY_INVALID')
})

test('a disposed decapsulation key is closed', () => {
  const key = DecapsulationKey.generate()
  const { ciphertext } = encapsulate(key.encapsulationKey)
  key[Symbol.dispose]()

  expect(codeOf(() => key.decapsulate(ciphertext))).toBe('CLOSED')
})

test.each([
  ['xchacha20-poly1305', 24],
  ['chacha20-poly1305', 12],
] as const)('%s gives back what was sealed and finds every change', (algorithm, nonceBytes) => {
  const common = { key: pattern(32), nonce: pattern(nonceBytes), aad: pattern(5), algorithm }
  for (const lengthBytes of [0, 1, 64, 70_000]) {
    const message = pattern(lengthBytes, 3)
    const sealed = seal({ ...common, message })

    expect(sealed).toHaveLength(lengthBytes + 16)
    expect(sameBytes(open({ ...common, sealed }), message)).toBe(true)
    expect(codeOf(() => open({ ...common, sealed: flipped(sealed, 0) }))).toBe('DECRYPT_FAILED')
    expect(codeOf(() => open({ ...common, sealed: flipped(sealed, lengthBytes + 15) }))).toBe(
      'DECRYPT_FAILED',
    )
    expect(codeOf(() => open({ ...common, sealed: sealed.subarray(1) }))).toBe('DECRYPT_FAILED')
    expect(codeOf(() => open({ ...common, sealed, aad: pattern(4) }))).toBe('DECRYPT_FAILED')
    expect(codeOf(() => open({ ...common, sealed, key: pattern(32, 1) }))).toBe('DECRYPT_FAILED')
    expect(codeOf(() => open({ ...common, sealed, nonce: pattern(nonceBytes, 1) }))).toBe('DECRYPT_FAILED')
  }
})

test('the extended nonce is the default', () => {
  const request = { key: pattern(32), nonce: pattern(24), message: pattern(9) }

  expect(seal(request)).toEqual(seal({ ...request, algorithm: 'xchacha20-poly1305' }))
  expect(codeOf(() => seal({ ...request, nonce: pattern(12) }))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => seal({ ...request, algorithm: 'aes' } as never))).toBe('INVALID_ARGUMENT')
})
