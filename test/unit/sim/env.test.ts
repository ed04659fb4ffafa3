import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { deriveKey, hash } from '../../../ts/native/hash.ts'
import { simEnv } from '../../../ts/sim/env.ts'
import { World } from '../../../ts/sim/world.ts'

const MESSAGE = new TextEncoder().encode('a message')

describe('the stub signer', () => {
  test('has the sizes of ML-DSA-65 and the id that follows from the public key', () => {
    const { env, id } = simEnv(new World({ seed: 1 }), { name: 'a' })

    expect(env.crypto.publicKey).toHaveLength(1_952)
    expect(env.crypto.sign(MESSAGE)).toHaveLength(3_309)
    expect(id).toBe(nodeIdFromBytes(deriveKey('espalier 2026-11 node id v1', env.crypto.publicKey)))
  })

  test('verifies what it signed, and nothing that differs in key, message or signature', () => {
    const world = new World({ seed: 1 })
    const [a, b] = [simEnv(world, { name: 'a' }).env.crypto, simEnv(world, { name: 'b' }).env.crypto]
    const signature = a.sign(MESSAGE)
    const flipped = signature.slice()
    flipped[3_308]! ^= 1

    expect(b.verify(a.publicKey, MESSAGE, signature)).toBe(true)
    expect(b.verify(b.publicKey, MESSAGE, signature)).toBe(false)
    expect(b.verify(a.publicKey, MESSAGE.slice(1), signature)).toBe(false)
    expect(b.verify(a.publicKey, MESSAGE, flipped)).toBe(false)
    expect(b.verify(a.publicKey.slice(1), MESSAGE, signature)).toBe(false)
    expect(b.verify(a.publicKey, MESSAGE, signature.slice(0, 32))).toBe(false)
  })

  test('hashes with the real BLAKE3', () => {
    const { crypto } = simEnv(new World({ seed: 1 }), { name: 'a' }).env

    expect(crypto.hash(MESSAGE)).toEqual(hash(MESSAGE))
    // BLAKE3 of nothing: the first line of its published test vectors.
    expect(Buffer.from(crypto.hash(new Uint8Array(0))).toString('hex')).toBe(
      'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    )
  })
})

describe('the environment of a simulated node', () => {
  test('follows from seed and name alone', () => {
    const make = (seed: number, name: string) => {
      const { env, id } = simEnv(new World({ seed }), { name })
      return [id, env.rng.below(2 ** 32)]
    }

    expect(make(1, 'a')).toEqual(make(1, 'a'))
    expect(make(1, 'a')).not.toEqual(make(1, 'b'))
    expect(make(1, 'a')).not.toEqual(make(2, 'a'))
  })
})
