import { expect, test } from 'vitest'
import { SigningKey, verify, verifyMany, type SignatureProvider } from '../../../ts/crypto.ts'
import { codeOf, flipped, pattern, rejectedCode } from './support.ts'

const PROVIDERS: readonly SignatureProvider[] = ['aws-lc', 'pqclean']

test('each provider verifies what the other signed', () => {
  const key = SigningKey.fromSeed(pattern(32))

  for (const lengthBytes of [0, 1, 136, 10_000]) {
    const message = pattern(lengthBytes, 1)
    for (const signer of PROVIDERS) {
      const signature = key.sign(message, { provider: signer })
      for (const verifier of PROVIDERS) {
        const judge = (changed: Uint8Array) => verify(key.publicKey, message, changed, { provider: verifier })
        expect(judge(signature), `${signer} judged by ${verifier}`).toBe(true)
        for (const at of [0, 47, 48, 3000, 3247, 3308]) expect(judge(flipped(signature, at))).toBe(false)
      }
    }
  }
})

test('signatures are hedged unless told otherwise', () => {
  const key = SigningKey.generate()
  const message = pattern(100)
  const deterministic = () => key.sign(message, { deterministic: true })

  expect(key.sign(message)).not.toEqual(key.sign(message))
  expect(key.sign(message, { provider: 'pqclean' })).not.toEqual(key.sign(message, { provider: 'pqclean' }))
  expect(deterministic()).toEqual(deterministic())
  for (const provider of PROVIDERS) {
    expect(verify(key.publicKey, message, deterministic(), { provider })).toBe(true)
  }
})

test('a context binds, and may have 255 bytes', () => {
  const key = SigningKey.generate()
  const message = pattern(10)
  const context = pattern(255)
  const signature = key.sign(message, { context })

  expect(verify(key.publicKey, message, signature, { context })).toBe(true)
  expect(verify(key.publicKey, message, signature, { context: context.subarray(1) })).toBe(false)
  expect(verify(key.publicKey, message, signature)).toBe(false)
  expect(codeOf(() => key.sign(message, { context: pattern(256) }))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => verify(key.publicKey, message, signature, { context: pattern(256) }))).toBe(
    'INVALID_ARGUMENT',
  )
})

test('a seed gives the same key, randomness another', () => {
  expect(SigningKey.fromSeed(pattern(32)).publicKey).toEqual(SigningKey.fromSeed(pattern(32)).publicKey)
  expect(SigningKey.fromSeed(pattern(32, 1)).publicKey).not.toEqual(
    SigningKey.fromSeed(pattern(32)).publicKey,
  )
  expect(SigningKey.generate().publicKey).not.toEqual(SigningKey.generate().publicKey)
})

test('verifyMany answers each in order', async () => {
  const keys = [1, 2, 3].map((seed) => SigningKey.fromSeed(pattern(32, seed)))
  const items = Array.from({ length: 50 }, (_, index) => {
    const key = keys[index % 3]!
    const message = pattern(index, index)
    const context = index % 5 === 0 ? { context: pattern(8) } : {}
    const signature = key.sign(message, context)
    const isGood = index % 7 !== 0
    return {
      item: {
        publicKey: key.publicKey,
        message,
        signature: isGood ? signature : flipped(signature, 60),
        ...context,
      },
      isGood,
    }
  })

  expect(await verifyMany(items.map(({ item }) => item))).toEqual(items.map(({ isGood }) => isGood))
  expect(await verifyMany([])).toEqual([])
})

test('verifyMany names the item that has a wrong size', async () => {
  const key = SigningKey.generate()
  const good = { publicKey: key.publicKey, message: pattern(1), signature: key.sign(pattern(1)) }

  const failed = verifyMany([good, { ...good, signature: pattern(3308) }])

  await expect(failed).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    details: { argument: 'items[1].signature' },
  })
  expect(await rejectedCode(verifyMany(good as never))).toBe('INVALID_ARGUMENT')
  expect(await rejectedCode(verifyMany([undefined] as never))).toBe('INVALID_ARGUMENT')
})

test('a disposed key signs nothing, and disposing again does nothing', () => {
  const key = SigningKey.generate()
  key[Symbol.dispose]()
  key[Symbol.dispose]()

  expect(codeOf(() => key.sign(pattern(1)))).toBe('CLOSED')
  expect(JSON.stringify(key)).not.toContain('seed')
})

test('unknown options and providers are refused', () => {
  const key = SigningKey.generate()
  const signature = key.sign(pattern(1))

  expect(codeOf(() => key.sign(pattern(1), { provider: 'openssl' } as never))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => key.sign(pattern(1), { contxt: pattern(1) } as never))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => key.sign(pattern(1), { deterministic: 1 } as never))).toBe('INVALID_ARGUMENT')
  expect(codeOf(() => verify(key.publicKey, pattern(1), signature, { provider: '' } as never))).toBe(
    'INVALID_ARGUMENT',
  )
})
