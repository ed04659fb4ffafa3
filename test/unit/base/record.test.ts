import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { concatBytes, encodeUtf8, toHex } from '../../../ts/base/bytes.ts'
import { EspalierError } from '../../../ts/base/error.ts'
import { keyOfNode, nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { MAX_LEAVES, merkleTree, pathLength, rootOf } from '../../../ts/base/merkle.ts'
import {
  MAX_BODY_BYTES,
  MAX_RECORD_BYTES,
  MAX_SKEW_MS,
  decodeRecord,
  encodeBody,
  encodeRecord,
  faultOf,
  keyOfRecord,
  nodeIdOf,
  sameBody,
  signRecords,
  verifyRecord,
  type RecordBody,
  type RecordKind,
} from '../../../ts/base/record.ts'
import { deriveKey } from '../../../ts/native/hash.ts'
import { realCrypto } from '../dht/fake-network.ts'

const NOW_UNIX_MS = 1_800_000_000_000
const crypto = realCrypto(new Uint8Array(32).fill(1))
const owner = nodeIdOf(crypto, crypto.publicKey)
const { publicKey } = crypto

describe('a batch', () => {
  test.each([1, 2, 3, 5, 7, 8, 33, 63, 64])(
    'of %i shares one signature, and each record proves itself',
    (count) => {
      const bodies = Array.from({ length: count }, (_, at) => body({ sequence: at }))

      const records = signRecords(crypto, bodies)

      expect(new Set(records.map(({ signature }) => toHex(signature))).size).toBe(1)
      for (const [at, record] of records.entries()) {
        const travelled = decodeRecord(encodeRecord(record))
        expect(travelled.body).toEqual(bodies[at])
        expect(travelled.path.siblings.length).toBeLessThanOrEqual(6)
        verifyRecord(crypto, travelled, { publicKey, nowUnixMs: NOW_UNIX_MS })
      }
    },
  )

  test('is 1 to 64 records of the signing node', () => {
    const many = Array.from({ length: MAX_LEAVES + 1 }, () => body())
    const foreign = body({ owner: nodeIdFromBytes(new Uint8Array(32)) })

    expect(codeOf(() => signRecords(crypto, []))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => signRecords(crypto, many))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => signRecords(crypto, [foreign]))).toBe('INVALID_ARGUMENT')
  })

  test('lets no record move to another place, count or batch', () => {
    const records = signRecords(
      crypto,
      [1, 2, 3, 4, 5].map((sequence) => body({ sequence })),
    )
    const [first, second] = [records[0]!, records[1]!]
    const fault = (record: typeof first) => faultOf(crypto, record, { publicKey, nowUnixMs: NOW_UNIX_MS })

    expect(fault(first)).toBeUndefined()
    expect(fault({ ...first, path: second.path })).toBeDefined()
    expect(fault({ ...first, path: { ...first.path, index: 1 } })).toBeDefined()
    expect(fault({ ...first, path: { ...first.path, index: 5 } })).toBeDefined()
    expect(fault({ ...first, path: { ...first.path, count: 6 } })).toBeDefined()
    expect(fault({ ...first, path: { ...first.path, siblings: [] } })).toBeDefined()
    expect(fault({ ...first, path: { ...first.path, siblings: first.path.siblings.slice(1) } })).toBeDefined()
  })

  test('gives no inner node as a leaf', () => {
    const leaves = [1, 2, 3, 4].map((value) => Uint8Array.of(value))
    const { root, paths } = merkleTree(crypto, leaves)
    const left = paths[2]!.siblings[1]!
    const pair = concatBytes([paths[1]!.siblings[0]!, paths[0]!.siblings[0]!])

    expect(toHex(rootOf(crypto, pair, { index: 0, count: 2, siblings: [paths[0]!.siblings[1]!] })!)).not.toBe(
      toHex(root),
    )
    expect(toHex(left)).not.toBe(toHex(root))
    for (const [at, path] of paths.entries()) {
      expect(toHex(rootOf(crypto, leaves[at]!, path)!)).toBe(toHex(root))
    }
  })

  test('of five has paths of 3, 3, 3, 3 and 1 hashes', () => {
    expect([0, 1, 2, 3, 4].map((index) => pathLength({ index, count: 5 }))).toEqual([3, 3, 3, 3, 1])
    expect(pathLength({ index: 63, count: 64 })).toBe(6)
    expect(pathLength({ index: 0, count: 1 })).toBe(0)
  })
})

describe('verification', () => {
  test('tolerates five minutes of skew on issue and on expiry, and not a millisecond more', () => {
    const [record] = signRecords(crypto, [body()])
    const code = (nowUnixMs: number) => codeOf(() => verifyRecord(crypto, record!, { publicKey, nowUnixMs }))
    const { issuedUnixMs, expiresUnixMs } = record!.body

    expect(code(issuedUnixMs - MAX_SKEW_MS)).toBeUndefined()
    expect(code(issuedUnixMs - MAX_SKEW_MS - 1)).toBe('RECORD_INVALID')
    expect(code(expiresUnixMs + MAX_SKEW_MS)).toBeUndefined()
    expect(code(expiresUnixMs + MAX_SKEW_MS + 1)).toBe('RECORD_INVALID')
  })

  test.each([
    ['NODE_AD', 2],
    ['DATA_POINTER', 400],
    ['REGISTER_POINTER', 400],
  ] as const)('bounds the life of %s to %i days', (kind, days) => {
    const lifetimeMs = days * 86_400_000
    const lives = (expiresUnixMs: number) => {
      const [record] = signRecords(crypto, [body({ kind, expiresUnixMs })])
      return codeOf(() => verifyRecord(crypto, record!, { publicKey, nowUnixMs: NOW_UNIX_MS }))
    }

    expect(lives(NOW_UNIX_MS + lifetimeMs)).toBeUndefined()
    expect(lives(NOW_UNIX_MS + lifetimeMs + 1)).toBe('RECORD_INVALID')
    expect(lives(NOW_UNIX_MS + 1)).toBeUndefined()
    expect(lives(NOW_UNIX_MS)).toBe('RECORD_INVALID')
  })

  test('refuses another key, another owner, and any changed byte of body or signature', () => {
    const other = realCrypto()
    const [record] = signRecords(crypto, [body()])
    const check = (changed: typeof record, key = publicKey) =>
      codeOf(() => verifyRecord(crypto, changed!, { publicKey: key, nowUnixMs: NOW_UNIX_MS }))
    const foreign = { ...record!.body, owner: nodeIdOf(other, other.publicKey) }
    const bodyBytes = encodeBody(foreign)

    expect(check(record)).toBeUndefined()
    expect(check(record, other.publicKey)).toBe('RECORD_INVALID')
    // Signed by us, in another's name: with either key.
    expect(check({ ...record!, body: foreign, bodyBytes })).toBe('RECORD_INVALID')
    expect(check({ ...record!, body: foreign, bodyBytes }, other.publicKey)).toBe('RECORD_INVALID')
    for (const at of [0, 1_000, 3_308]) {
      expect(check({ ...record!, signature: flipped(record!.signature, at) })).toBe('RECORD_INVALID')
    }
    const encoded = encodeRecord(record!)
    const start = encoded.length - 3_309 - 200
    for (let at = 3; at < start; at += 1) {
      const outcome = codeOf(() => check(decodeRecord(flipped(encoded, at))) === 'RECORD_INVALID' || fail())
      expect([undefined, 'PROTOCOL_VIOLATION']).toContain(outcome)
    }
  })
})

describe('the encoding', () => {
  test('takes a body of 512 bytes and refuses one more', () => {
    const overhead = encodeBody(body({ payload: new Uint8Array(300) })).byteLength - 300
    const largest = body({ payload: new Uint8Array(MAX_BODY_BYTES - overhead) })

    expect(encodeBody(largest).byteLength).toBe(MAX_BODY_BYTES)
    expect(codeOf(() => encodeBody(body({ payload: new Uint8Array(MAX_BODY_BYTES - overhead + 1) })))).toBe(
      'VALUE_TOO_LARGE',
    )
    const records = signRecords(
      crypto,
      Array.from({ length: 64 }, () => largest),
    )
    for (const record of records)
      expect(encodeRecord(record).byteLength).toBeLessThanOrEqual(MAX_RECORD_BYTES)
  })

  test('refuses a subject that does not fit its kind', () => {
    expect(codeOf(() => encodeBody(body({ subject: new Uint8Array(31) })))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => encodeBody(body({ kind: 'NODE_AD', subject: new Uint8Array(32) })))).toBe(
      'INVALID_ARGUMENT',
    )
  })

  test('refuses a body with another kind, a cut path, an overlong record and trailing bytes', () => {
    const [record] = signRecords(crypto, [body()])
    const encoded = encodeRecord(record!)
    const decode = (bytes: Uint8Array) => codeOf(() => decodeRecord(bytes))
    const wrongKind = Uint8Array.from(record!.bodyBytes)
    wrongKind[1] = 2

    expect(decode(encoded)).toBeUndefined()
    expect(decode(encodeRecord({ ...record!, bodyBytes: wrongKind }))).toBe('PROTOCOL_VIOLATION')
    expect(
      decode(encodeRecord({ ...record!, path: { ...record!.path, siblings: [new Uint8Array(31)] } })),
    ).toBe('PROTOCOL_VIOLATION')
    expect(decode(encodeRecord({ ...record!, signature: new Uint8Array(3_308) }))).toBe('PROTOCOL_VIOLATION')
    expect(decode(concatBytes([encoded, Uint8Array.of(0)]))).toBe('PROTOCOL_VIOLATION')
    expect(decode(encoded.subarray(0, -1))).toBe('PROTOCOL_VIOLATION')
    expect(decode(new Uint8Array(MAX_RECORD_BYTES + 1))).toBe('PROTOCOL_VIOLATION')
    expect(decode(new Uint8Array(0))).toBe('PROTOCOL_VIOLATION')
  })
})

test('a key belongs to one kind, one subject and one owner; a node’s own record sits on its id', () => {
  const subject = new Uint8Array(32).fill(5)
  const other = nodeIdFromBytes(new Uint8Array(32).fill(6))
  const keys = [
    keyOfRecord(crypto, { kind: 'DATA_POINTER', subject, owner }),
    keyOfRecord(crypto, { kind: 'DATA_POINTER', subject, owner: other }),
    keyOfRecord(crypto, { kind: 'REGISTER_POINTER', subject, owner }),
    keyOfRecord(crypto, { kind: 'DATA_POINTER', subject: new Uint8Array(32), owner }),
  ]

  expect(new Set(keys.map(toHex)).size).toBe(4)
  expect(keys[0]).toEqual(deriveKey('espalier data pointer key v1', concatBytes([subject, keyOfNode(owner)])))
  expect(keyOfRecord(crypto, { kind: 'NODE_AD', subject: new Uint8Array(0), owner })).toEqual(
    keyOfNode(owner),
  )
})

test('the bytes of identities, keys, bodies, roots and records never change', () => {
  const frozen = JSON.parse(
    readFileSync(new URL('../../vectors/records/records.json', import.meta.url), 'utf8'),
  ) as {
    readonly seed: string
    readonly nodeId: string
    readonly publicKeyHash: string
    readonly batches: readonly {
      readonly records: readonly {
        readonly kind: RecordKind
        readonly subject: string
        readonly sequence: number
        readonly issuedUnixMs: number
        readonly expiresUnixMs: number
        readonly payload: string
        readonly key: string
        readonly body: string
        readonly record: string
      }[]
    }[]
  }
  const signer = realCrypto(Buffer.from(frozen.seed, 'hex'))

  expect(nodeIdOf(signer, signer.publicKey)).toBe(frozen.nodeId)
  expect(toHex(signer.hash(signer.publicKey))).toBe(frozen.publicKeyHash)
  for (const { records } of frozen.batches) {
    const bodies = records.map(({ kind, subject, sequence, issuedUnixMs, expiresUnixMs, payload }) => ({
      kind,
      subject: Uint8Array.from(Buffer.from(subject, 'hex')),
      owner: nodeIdOf(signer, signer.publicKey),
      sequence,
      issuedUnixMs,
      expiresUnixMs,
      payload: Uint8Array.from(Buffer.from(payload, 'hex')),
    }))
    const signed = signRecords(signer, bodies)
    for (const [at, expected] of records.entries()) {
      expect(toHex(keyOfRecord(signer, bodies[at]!))).toBe(expected.key)
      expect(toHex(encodeBody(bodies[at]!))).toBe(expected.body)
      expect(toHex(encodeRecord(signed[at]!))).toBe(expected.record)
      const decoded = decodeRecord(Buffer.from(expected.record, 'hex'))
      expect(decoded.body).toEqual(bodies[at])
      expect(sameBody(decoded, signed[at]!)).toBe(true)
      verifyRecord(signer, decoded, { publicKey: signer.publicKey, nowUnixMs: expected.issuedUnixMs })
    }
  }
})

function body(change: Partial<RecordBody> = {}): RecordBody {
  return {
    kind: 'DATA_POINTER',
    subject: change.kind === 'NODE_AD' ? new Uint8Array(0) : new Uint8Array(32).fill(9),
    owner,
    sequence: 3,
    issuedUnixMs: NOW_UNIX_MS,
    expiresUnixMs: NOW_UNIX_MS + 86_400_000,
    payload: encodeUtf8('payload'),
    ...change,
  }
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(bytes)
  changed[at]! ^= 1
  return changed
}

function fail(): never {
  throw new Error('a changed record was accepted')
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
