import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import * as crypto from '../../../ts/crypto.ts'
import { EspalierError } from '../../../ts/base/error.ts'
import { decodeSegment, encodeSegment } from '../../../ts/native/segment.ts'
import { codeOf, pattern } from './support.ts'

const key = crypto.SigningKey.fromSeed(pattern(32))
const secret = crypto.DecapsulationKey.fromSeed(pattern(64))
const signature = key.sign(pattern(5))
const { ciphertext } = crypto.encapsulate(secret.encapsulationKey)
const boxed = { key: pattern(32), nonce: pattern(24), message: pattern(4) }
const sealed = crypto.seal(boxed)
const tree = crypto.outboard(pattern(20_000))
const range = { start: 0, length: 10 }
const slice = crypto.extractSlice(pattern(20_000), tree.nodes, range)
const claim = { ...range, totalBytes: 20_000, slice }
const layout = { dataShards: 2, parityShards: 1 }
const coder = new crypto.ErasureCoder(layout)
const shards = [pattern(8), pattern(8, 1), pattern(8, 2)]
const segment = { key: pattern(32), index: 0, plaintext: pattern(9), layout }

/** Every bytes argument of the API: how to pass it, a good value, and whether its size is fixed. */
const ARGUMENTS: readonly {
  readonly what: string
  readonly name: string
  readonly call: (value: never) => unknown
  readonly good: Uint8Array
  readonly exact?: true
}[] = [
  { what: 'hash', name: 'data', call: (value) => crypto.hash(value), good: pattern(3) },
  {
    what: 'hashInto',
    name: 'data',
    call: (value) => crypto.hashInto(value, new Uint8Array(32)),
    good: pattern(3),
  },
  {
    what: 'hashInto',
    name: 'out',
    call: (value) => crypto.hashInto(pattern(3), value),
    good: new Uint8Array(32),
  },
  {
    what: 'hashMany',
    name: 'items[1]',
    call: (value) => crypto.hashMany([pattern(1), value]),
    good: pattern(3),
  },
  {
    what: 'keyedHash',
    name: 'key',
    call: (value) => crypto.keyedHash(value, pattern(1)),
    good: pattern(32),
    exact: true,
  },
  {
    what: 'keyedHash',
    name: 'data',
    call: (value) => crypto.keyedHash(pattern(32), value),
    good: pattern(3),
  },
  { what: 'deriveKey', name: 'material', call: (value) => crypto.deriveKey('c', value), good: pattern(3) },
  {
    what: 'createHasher',
    name: 'key',
    call: (value) => crypto.createHasher({ key: value }),
    good: pattern(32),
    exact: true,
  },
  { what: 'update', name: 'data', call: (value) => crypto.createHasher().update(value), good: pattern(3) },
  {
    what: 'SigningKey.fromSeed',
    name: 'seed',
    call: (value) => crypto.SigningKey.fromSeed(value),
    good: pattern(32),
    exact: true,
  },
  { what: 'sign', name: 'message', call: (value) => key.sign(value), good: pattern(3) },
  {
    what: 'sign',
    name: 'context',
    call: (value) => key.sign(pattern(1), { context: value }),
    good: pattern(3),
  },
  {
    what: 'verify',
    name: 'publicKey',
    call: (value) => crypto.verify(value, pattern(5), signature),
    good: key.publicKey,
    exact: true,
  },
  {
    what: 'verify',
    name: 'message',
    call: (value) => crypto.verify(key.publicKey, value, signature),
    good: pattern(5),
  },
  {
    what: 'verify',
    name: 'signature',
    call: (value) => crypto.verify(key.publicKey, pattern(5), value),
    good: signature,
    exact: true,
  },
  {
    what: 'DecapsulationKey.fromSeed',
    name: 'seed',
    call: (value) => crypto.DecapsulationKey.fromSeed(value),
    good: pattern(64),
    exact: true,
  },
  {
    what: 'decapsulate',
    name: 'ciphertext',
    call: (value) => secret.decapsulate(value),
    good: ciphertext,
    exact: true,
  },
  {
    what: 'encapsulate',
    name: 'encapsulationKey',
    call: (value) => crypto.encapsulate(value),
    good: secret.encapsulationKey,
    exact: true,
  },
  {
    what: 'seal',
    name: 'key',
    call: (value) => crypto.seal({ ...boxed, key: value }),
    good: pattern(32),
    exact: true,
  },
  {
    what: 'seal',
    name: 'nonce',
    call: (value) => crypto.seal({ ...boxed, nonce: value }),
    good: pattern(24),
    exact: true,
  },
  {
    what: 'seal',
    name: 'message',
    call: (value) => crypto.seal({ ...boxed, message: value }),
    good: pattern(3),
  },
  { what: 'seal', name: 'aad', call: (value) => crypto.seal({ ...boxed, aad: value }), good: pattern(3) },
  {
    what: 'open',
    name: 'sealed',
    call: (value) => crypto.open({ key: boxed.key, nonce: boxed.nonce, sealed: value }),
    good: sealed,
  },
  { what: 'outboard', name: 'data', call: (value) => crypto.outboard(value), good: pattern(3) },
  {
    what: 'extractSlice',
    name: 'data',
    call: (value) => crypto.extractSlice(value, tree.nodes, range),
    good: pattern(20_000),
  },
  {
    what: 'extractSlice',
    name: 'nodes',
    call: (value) => crypto.extractSlice(pattern(20_000), value, range),
    good: tree.nodes,
    exact: true,
  },
  {
    what: 'verifySlice',
    name: 'root',
    call: (value) => crypto.verifySlice(value, claim),
    good: tree.root,
    exact: true,
  },
  {
    what: 'verifySlice',
    name: 'slice',
    call: (value) => crypto.verifySlice(tree.root, { ...claim, slice: value }),
    good: slice,
  },
  {
    what: 'encode',
    name: 'dataShards[1]',
    call: (value) => coder.encode([pattern(8), value]),
    good: pattern(8),
  },
  {
    what: 'reconstruct',
    name: 'shards[1]',
    call: (value) => coder.reconstruct([shards[0], value, shards[2]]),
    good: pattern(8),
  },
]

describe.each(ARGUMENTS)('$what($name)', ({ name, call, good }) => {
  test('takes a Buffer, a subarray, an array of another realm and a resizable one', () => {
    const shifted = new Uint8Array(good.byteLength + 9)
    shifted.set(good, 5)
    const foreign = runInNewContext('new Uint8Array(bytes)', { bytes: [...good] }) as Uint8Array
    const resizable = new Uint8Array(
      new (ArrayBuffer as never as Resizable)(good.byteLength, { maxByteLength: 1 << 20 }),
    )
    resizable.set(good)

    for (const value of [Buffer.from(good), shifted.subarray(5, 5 + good.byteLength), foreign, resizable]) {
      expect(codeOf(() => call(value as never))).toBe('none')
    }
  })

  test('refuses everything else, naming itself, what was given and what is allowed', () => {
    const length = good.byteLength
    const detached = new Uint8Array(length)
    structuredClone(detached, { transfer: [detached.buffer] })
    const others: readonly unknown[] = [
      null,
      0,
      5n,
      '',
      'text',
      true,
      Symbol('s'),
      [],
      [1, 2, 3],
      {},
      () => good,
      new ArrayBuffer(length),
      new DataView(new ArrayBuffer(length)),
      new Uint16Array(length),
      new Int8Array(length),
      new Uint8ClampedArray(length),
      new Uint8Array(new SharedArrayBuffer(length)),
      detached,
      Object.create(Uint8Array.prototype),
      new Proxy(new Uint8Array(length), {}),
      Promise.resolve(good),
      { length, byteLength: length, 0: 1 },
    ]
    for (const value of others) expectRefused(() => call(value as never), name)
  })

  test('is not deceived by a subclass that lies about its size', () => {
    class Liar extends Uint8Array {
      override get byteLength(): number {
        return 1 << 30
      }
      override get length(): number {
        return 1 << 30
      }
    }
    // Refused or taken at its true size: never a crash, never another kind of error.
    expect(['none', 'INVALID_ARGUMENT', 'DECRYPT_FAILED', 'SIGNATURE_INVALID']).toContain(
      codeOf(() => call(Liar.from(good) as never)),
    )
  })
})

test.each(ARGUMENTS.filter(({ exact }) => exact))('$what($name) has one size', ({ name, call, good }) => {
  expectRefused(() => call(good.subarray(1) as never), name)
  expectRefused(() => call(Buffer.concat([good, Buffer.from([0])]) as never), name)
  expectRefused(() => call(new Uint8Array(0) as never), name)
})

test('a shared buffer is refused by the asynchronous calls too', async () => {
  const shared = new Uint8Array(new SharedArrayBuffer(9))
  await expect(encodeSegment({ ...segment, plaintext: shared })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
  await expect(encodeSegment({ ...segment, key: pattern(31) })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  })
  await expect(
    decodeSegment({
      key: pattern(32),
      index: 0,
      layout,
      plaintextBytes: 9,
      shards: [shared, shared, shared],
    }),
  ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('options that throw while they are read are refused with the error as the cause, and leave nothing behind', () => {
  const trap = {
    get context(): never {
      throw new RangeError('from the getter')
    },
  }
  expect(() => key.sign(pattern(1), trap)).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', cause: new RangeError('from the getter') }) as Error,
  )
  expect(codeOf(() => key.sign(pattern(1)))).toBe('none')
})

type Resizable = new (length: number, options: { maxByteLength: number }) => ArrayBuffer

function expectRefused(attempt: () => unknown, name: string): void {
  let error: unknown
  try {
    attempt()
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(EspalierError)
  if (!(error instanceof EspalierError)) return
  expect(error.code).toBe('INVALID_ARGUMENT')
  expect(error.message.startsWith(`${name}: `), error.message).toBe(true)
  expect(error.message).toMatch(/^.+ (was|were) given, .+ (is|are) (needed|allowed)/)
}
