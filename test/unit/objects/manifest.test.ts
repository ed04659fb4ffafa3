import { decode as cborg } from 'cborg'
import { beforeAll, describe, expect, test } from 'vitest'
import { toHex } from '../../../ts/base/bytes.ts'
import type { NodeCrypto } from '../../../ts/base/env.ts'
import { keyOfNode, nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { nodeIdOf } from '../../../ts/base/record.ts'
import { deriveKey, hash } from '../../../ts/native/hash.ts'
import { MAX_SEGMENT_BYTES } from '../../../ts/native/segment.ts'
import { SigningKey, verify } from '../../../ts/native/sign.ts'
import {
  decodeManifest,
  encodeManifest,
  MAX_CHUNKS,
  MAX_MANIFEST_BYTES,
  segmentCount,
  segmentSize,
  type Manifest,
} from '../../../ts/objects/manifest.ts'
import {
  decodeChunk,
  encodeChunk,
  SEGMENTS_PER_CHUNK,
  TableBuilder,
} from '../../../ts/objects/segment-table.ts'

// A change needs another version of the manifest.
const FROZEN_BYTES = 560
const FROZEN_HASH = '517ac22875bf108546fb09d4498c8992daa62bc3cd779b4ca27345afba6900a9'

const LAYOUT = { dataShards: 8, parityShards: 4 }
const IDS_BYTES = 12 * 32
const INVALID = expect.objectContaining({ code: 'RECORD_INVALID' }) as Error

let crypto: NodeCrypto
let stranger: NodeCrypto
beforeAll(() => {
  crypto = cryptoOf(SigningKey.fromSeed(new Uint8Array(32).fill(1)))
  stranger = cryptoOf(SigningKey.fromSeed(new Uint8Array(32).fill(2)))
})

describe('a manifest', () => {
  test('with its ids inside is bytes and back', () => {
    const manifest = manifestOf()

    expect(decode(encodeManifest(manifest, crypto))).toEqual(manifest)
  })

  test('has the bytes that another decoder reads, and they stay as they are', () => {
    const short = { ...crypto, publicKey: Uint8Array.of(1, 2), sign: () => Uint8Array.of(3, 4) }
    const manifest = manifestOf({ holders: manifestOf().holders.slice(0, 2), sizeBytes: 5 })

    const bytes = encodeManifest(manifest, short)

    const useMaps = true
    const [body, signature, extensions] = cborg(bytes, { useMaps }) as [Uint8Array, Uint8Array, object]
    expect([signature, extensions]).toEqual([Uint8Array.of(3, 4), new Map()])
    expect(cborg(body, { useMaps })).toEqual([
      1,
      manifest.objectId,
      keyOfNode(manifest.owner),
      short.publicKey,
      5,
      MAX_SEGMENT_BYTES,
      8,
      4,
      1_795_000_000_000,
      [
        [new Uint8Array(32).fill(0), 0],
        [new Uint8Array(32).fill(1), 1],
      ],
      new Uint8Array(IDS_BYTES).fill(4),
      [],
      new Map(),
    ])
    expect(bytes).toHaveLength(FROZEN_BYTES)
    expect(toHex(hash(bytes))).toBe(FROZEN_HASH)
  })

  test('with table chunks is bytes and back', () => {
    const ids = Array.from({ length: 3 }, (_, index) => new Uint8Array(32).fill(index))
    const sizeBytes = (2 * SEGMENTS_PER_CHUNK + 1) * MAX_SEGMENT_BYTES
    const manifest = manifestOf({ sizeBytes, table: { kind: 'chunks', ids } })

    expect(decode(encodeManifest(manifest, crypto))).toEqual(manifest)
  })

  test('of the largest object still fits, one chunk more does not', () => {
    const of = (chunks: number): Manifest =>
      manifestOf({
        sizeBytes: chunks * SEGMENTS_PER_CHUNK * MAX_SEGMENT_BYTES,
        table: { kind: 'chunks', ids: Array<Uint8Array>(chunks).fill(new Uint8Array(32)) },
      })

    const bytes = encodeManifest(of(MAX_CHUNKS), crypto)
    expect(bytes.byteLength).toBeLessThan(MAX_MANIFEST_BYTES)
    expect(decode(bytes)).toEqual(of(MAX_CHUNKS))
    expect(() => encodeManifest(of(MAX_CHUNKS + 1), crypto)).toThrow(
      expect.objectContaining({ code: 'VALUE_TOO_LARGE' }),
    )
  })

  test('of an empty object has one segment of nothing', () => {
    const manifest = manifestOf({ sizeBytes: 0 })

    expect(segmentCount(manifest)).toBe(1)
    expect(segmentSize(manifest, 0)).toBe(0)
    expect(decode(encodeManifest(manifest, crypto))).toEqual(manifest)
  })

  test('signed by another than its owner is refused', () => {
    const byOther = encodeManifest(manifestOf(), { ...stranger, publicKey: crypto.publicKey })
    const withOtherKey = encodeManifest(manifestOf(), stranger)

    expect(() => decode(byOther)).toThrow(expect.objectContaining({ code: 'SIGNATURE_INVALID' }))
    expect(() => decode(withOtherKey)).toThrow(INVALID)
  })

  test('of another owner than the reference names is refused', () => {
    const owner = nodeIdOf(stranger, stranger.publicKey)
    const bytes = encodeManifest(manifestOf({ owner }), stranger)

    expect(() => decode(bytes)).toThrow(INVALID)
    expect(decodeManifest(bytes, { owner, crypto }).owner).toBe(owner)
  })

  test('with any one bit flipped is refused', () => {
    const bytes = encodeManifest(manifestOf(), crypto)
    // Every byte of the first and last 64, and a sample between: each decode may check a signature.
    const places = [...bytes.keys()].filter((at) => at < 64 || at % 97 === 0 || at > bytes.byteLength - 64)
    for (const at of places) {
      const flipped = bytes.slice()
      flipped[at] = flipped[at]! ^ (1 << (at % 8))

      expect(() => decode(flipped), `byte ${at}`).toThrow(
        expect.objectContaining({
          code: expect.stringMatching(/^(RECORD_INVALID|SIGNATURE_INVALID)$/) as string,
        }),
      )
    }
  })

  test('cut off anywhere or with bytes behind is refused', () => {
    const bytes = encodeManifest(manifestOf(), crypto)

    for (let length = 0; length < bytes.byteLength; length += 61) {
      expect(() => decode(bytes.subarray(0, length))).toThrow(INVALID)
    }
    expect(() => decode(new Uint8Array([...bytes, 0]))).toThrow(INVALID)
  })

  describe('whose sizes do not fit each other is refused although its owner signed it', () => {
    const node = nodeIdFromBytes(new Uint8Array(32).fill(5))
    test.each<[string, Partial<Manifest>]>([
      ['no data shards', { layout: { dataShards: 0, parityShards: 12 } }],
      ['more than 32 shards', { layout: { dataShards: 31, parityShards: 2 } }],
      ['more than 64 MiB for a segment', { layout: { dataShards: 1, parityShards: 16 } }],
      ['an absurd size', { sizeBytes: Number.MAX_SAFE_INTEGER }],
      ['one byte more than its segments', { sizeBytes: 2 * MAX_SEGMENT_BYTES + 1 }],
      ['segments over 4 MiB', { segmentBytes: MAX_SEGMENT_BYTES + 1 }],
      ['segments of one byte', { segmentBytes: 1 }],
      ['segments of nothing', { segmentBytes: 0 }],
      ['half an id', { table: { kind: 'inline', ids: new Uint8Array(2 * IDS_BYTES - 1) } }],
      [
        'chunks for a small object',
        { table: { kind: 'chunks', ids: [new Uint8Array(32), new Uint8Array(32)] } },
      ],
      ['a shard index beyond its layout', { holders: [{ nodeId: node, shardIndex: 12 }] }],
      [
        'one place twice',
        {
          holders: [
            { nodeId: node, shardIndex: 1 },
            { nodeId: node, shardIndex: 1 },
          ],
        },
      ],
    ])('%s', (_, change) => {
      const bytes = encodeManifest(manifestOf(change), crypto)

      expect(() => decode(bytes)).toThrow(INVALID)
    })
  })
})

describe('a table chunk', () => {
  test('is full after 1,024 segments, and its ids are found again', () => {
    const builder = new TableBuilder()
    const idsOf = (segment: number): Uint8Array[] =>
      Array.from({ length: 12 }, (_, shard) => hash(Uint8Array.of(segment >> 8, segment & 255, shard)))
    let chunk: Uint8Array | undefined
    for (let segment = 0; segment < SEGMENTS_PER_CHUNK; segment += 1) {
      expect(chunk).toBeUndefined()
      chunk = builder.add(idsOf(segment))
    }

    const ids = decodeChunk(chunk!, { layout: LAYOUT, segments: SEGMENTS_PER_CHUNK })

    expect(ids.of(0)).toEqual(idsOf(0))
    expect(ids.of(1023)).toEqual(idsOf(1023))
    expect(builder.rest()).toHaveLength(0)
    expect(builder.add(idsOf(1024))).toBeUndefined()
    expect(builder.rest()).toHaveLength(IDS_BYTES)
  })

  test('of another length than the manifest says is refused', () => {
    const chunk = encodeChunk(new Uint8Array(2 * IDS_BYTES))

    expect(decodeChunk(chunk, { layout: LAYOUT, segments: 2 }).of(1)).toHaveLength(12)
    for (const segments of [1, 3]) {
      expect(() => decodeChunk(chunk, { layout: LAYOUT, segments })).toThrow(INVALID)
    }
    expect(() => decodeChunk(new Uint8Array(500_000), { layout: LAYOUT, segments: 2 })).toThrow(INVALID)
  })

  test('of an older or a newer version is refused', () => {
    const chunk = encodeChunk(new Uint8Array(IDS_BYTES))
    expect(chunk[1]).toBe(1)

    for (const version of [0, 2]) {
      chunk[1] = version
      expect(() => decodeChunk(chunk, { layout: LAYOUT, segments: 1 })).toThrow(INVALID)
    }
  })
})

function manifestOf(change: Partial<Manifest> = {}): Manifest {
  const sizeBytes = change.sizeBytes ?? MAX_SEGMENT_BYTES + 5
  const segments = sizeBytes > MAX_SEGMENT_BYTES ? 2 : 1
  return {
    objectId: new Uint8Array(32).fill(9),
    owner: nodeIdOf(crypto, crypto.publicKey),
    sizeBytes,
    segmentBytes: MAX_SEGMENT_BYTES,
    layout: LAYOUT,
    expiresUnixMs: 1_795_000_000_000,
    holders: Array.from({ length: 12 }, (_, shardIndex) => ({
      nodeId: nodeIdFromBytes(new Uint8Array(32).fill(shardIndex)),
      shardIndex,
    })),
    table: { kind: 'inline', ids: new Uint8Array(segments * IDS_BYTES).fill(4) },
    ...change,
  }
}

function decode(bytes: Uint8Array): Manifest {
  return decodeManifest(bytes, { owner: nodeIdOf(crypto, crypto.publicKey), crypto })
}

function cryptoOf(key: SigningKey): NodeCrypto {
  return {
    publicKey: key.publicKey,
    sign: (message) => key.sign(message),
    verify: (publicKey, message, signature) =>
      publicKey.byteLength === 1952 && signature.byteLength === 3309 && verify(publicKey, message, signature),
    hash,
    deriveKey: (context, material) => deriveKey(context, material),
  }
}
