import { expect, test } from 'vitest'
import { nodeIdFromBytes } from '../../ts/base/identity.ts'
import type { NodeCrypto } from '../../ts/base/env.ts'
import { EspalierError } from '../../ts/base/error.ts'
import type { ByteStream } from '../../ts/net/transport.ts'
import { FrameStream } from '../../ts/objects/frame-stream.ts'
import {
  decodeManifest,
  encodeManifest,
  MAX_INLINE_IDS_BYTES,
  segmentCount,
  segmentSize,
  type Manifest,
} from '../../ts/objects/manifest.ts'
import { decodeChunk, encodeChunk, ShardIds } from '../../ts/objects/segment-table.ts'
import {
  decodeGetAnswer,
  decodeGetRequest,
  decodePutAnswer,
  decodePutHeader,
  encodeGetAnswer,
  encodeGetRequest,
  encodePutAnswer,
  encodePutHeader,
  FRAME_LENGTH_BYTES,
  MAX_FRAME_BYTES,
} from '../../ts/objects/wire.ts'
import { totalShards } from '../../ts/placement/layout.ts'
import { fuzz, FUZZ_FACTOR, FUZZ_SEED, FUZZ_TIMEOUT_MS, type FuzzCase, type Outcome } from './campaign.ts'
import { FastRandom, mutateBytes } from './mutator.ts'

const id = new Uint8Array(32).fill(9)
const owner = nodeIdFromBytes(new Uint8Array(32).fill(5))
const LAYOUT = { dataShards: 2, parityShards: 1 }

/** Mutations of each case in a normal run. */
const MUTATIONS = 60_000

/** Believes every signature and finds one owner behind every key: the shape alone is what is tried here. */
const credulous: NodeCrypto = {
  publicKey: new Uint8Array(40).fill(1),
  sign: () => new Uint8Array(40).fill(2),
  verify: () => true,
  hash: () => new Uint8Array(32),
  deriveKey: () => new Uint8Array(32).fill(5),
}

const cases: readonly (readonly [name: string, run: () => Outcome])[] = [
  ...one({
    name: 'put header',
    corpus: [
      body(encodePutHeader({ id, sizeBytes: 0, expiresUnixMs: 0 })),
      body(encodePutHeader({ id, sizeBytes: 4_194_304, expiresUnixMs: Number.MAX_SAFE_INTEGER })),
    ],
    decode: decodePutHeader,
    encode: (header) => body(encodePutHeader(header)),
    codes: ['PROTOCOL_VIOLATION'],
  }),
  ...one({
    name: 'put answer',
    corpus: [
      body(encodePutAnswer()),
      body(encodePutAnswer('STORAGE_FULL')),
      body(encodePutAnswer('TIMEOUT')),
    ],
    // An unknown code becomes a known one, so there is no way back to the same bytes.
    decode: decodePutAnswer,
    codes: ['PROTOCOL_VIOLATION'],
  }),
  ...one({
    name: 'get request',
    corpus: [
      body(encodeGetRequest({ id, maxBytes: 1 })),
      body(encodeGetRequest({ id, maxBytes: 4_194_304 })),
    ],
    decode: decodeGetRequest,
    encode: (request) => body(encodeGetRequest(request)),
    codes: ['PROTOCOL_VIOLATION'],
  }),
  ...one({
    name: 'get answer',
    corpus: [body(encodeGetAnswer({ sizeBytes: 4_194_304 })), body(encodeGetAnswer({ code: 'NOT_FOUND' }))],
    decode: decodeGetAnswer,
    codes: ['PROTOCOL_VIOLATION'],
    check: (answer) => {
      if ('sizeBytes' in answer && answer.sizeBytes > 4_194_304)
        throw new Error('more bytes than a shard has')
    },
  }),
  ...one({
    name: 'segment table',
    corpus: [encodeChunk(new Uint8Array(2 * 3 * 32).fill(1))],
    decode: (bytes) => ({ ids: decodeChunk(bytes, { layout: LAYOUT, segments: 2 }) }),
    encode: ({ ids }) => encodeChunk(Buffer.concat([0, 1].flatMap((segment) => ids.of(segment)))),
    codes: ['RECORD_INVALID'],
    check: ({ ids }) => {
      if (!(ids instanceof ShardIds)) throw new Error('no ids')
    },
  }),
  ...one({
    name: 'manifest',
    corpus: manifests().map((manifest) => encodeManifest(manifest, credulous)),
    decode: (bytes) => decodeManifest(bytes, { owner, crypto: credulous }),
    codes: ['RECORD_INVALID'],
    check: checkManifest,
  }),
  ...one({
    name: 'manifest body',
    corpus: manifests().map((manifest) => bodyOf(encodeManifest(manifest, credulous))),
    // The public key is checked and left out, so that there is no way back to the same bytes.
    decode: (bytes) => decodeManifest(envelope(bytes), { owner, crypto: credulous }),
    codes: ['RECORD_INVALID'],
    check: checkManifest,
  }),
]

test.each(cases)(
  '%s: changed bytes are refused with a code, or say what they say',
  (name, run) => {
    const { accepted, refused } = run()

    console.log(`${name}: seed ${FUZZ_SEED}, ${accepted} accepted, ${refused} refused`)
    expect(accepted).toBeGreaterThan(MUTATIONS / 1000)
    expect(refused).toBeGreaterThan(accepted / 100)
  },
  FUZZ_TIMEOUT_MS,
)

test(
  'frames come out of any bytes as their lengths say, however the stream is cut',
  async () => {
    const random = new FastRandom(FUZZ_SEED)
    const corpus = [
      encodeGetRequest({ id, maxBytes: 1 }),
      Uint8Array.from([
        ...encodePutAnswer(),
        ...encodePutAnswer('TIMEOUT'),
        ...encodeGetAnswer({ sizeBytes: 3 }),
      ]),
      Uint8Array.of(0, 0, 0, 1, 7),
      new Uint8Array(FRAME_LENGTH_BYTES + MAX_FRAME_BYTES).fill(2).fill(0, 1, 2),
    ]
    let whole = 0

    for (let run = 0; run < 10_000 * FUZZ_FACTOR; run += 1) {
      const bytes = mutateBytes(random, corpus)
      const frames: Uint8Array[] = []
      const stream = new FrameStream(streamOf(bytes, random), () => undefined)
      let code: string | undefined
      try {
        for (let frame = await stream.readFrame(); frame !== undefined; frame = await stream.readFrame()) {
          frames.push(frame)
        }
      } catch (thrown) {
        if (!(thrown instanceof EspalierError)) throw thrown
        code = thrown.code
      }

      const expected = framesIn(bytes)
      expect(frames).toEqual(expected.frames)
      expect(code).toBe(expected.isWhole ? undefined : 'PROTOCOL_VIOLATION')
      if (expected.isWhole) whole += 1
    }

    expect(whole).toBeGreaterThan(100)
  },
  FUZZ_TIMEOUT_MS,
)

function one<Value>(fuzzed: FuzzCase<Value>): readonly (readonly [string, () => Outcome])[] {
  return [[fuzzed.name, () => fuzz(fuzzed, { mutations: MUTATIONS * FUZZ_FACTOR })]]
}

/** Everything that a reader allocates and asks for follows from these. */
function checkManifest(manifest: Manifest): void {
  const { layout, table, holders, sizeBytes, segmentBytes } = manifest
  const shards = totalShards(layout)
  const segments = segmentCount(manifest)
  const holds = [
    manifest.owner === owner,
    layout.dataShards >= 1 && shards <= 32,
    segmentBytes >= 4096 && shards * Math.ceil((segmentBytes + 16) / layout.dataShards) <= 67_108_864,
    table.kind === 'chunks' ? table.ids.length <= 1400 : table.ids.byteLength <= MAX_INLINE_IDS_BYTES,
    table.kind === 'chunks'
      ? table.ids.length === Math.ceil(segments / 1024)
      : table.ids.byteLength === segments * shards * 32,
    (segments - 1) * segmentBytes + segmentSize(manifest, segments - 1) === sizeBytes,
    segmentSize(manifest, segments - 1) > (sizeBytes === 0 ? -1 : 0),
    holders.every(({ shardIndex }) => shardIndex < shards),
  ]
  const broken = holds.indexOf(false)
  if (broken >= 0) throw new Error(`rule ${broken} does not hold`)
}

function manifests(): Manifest[] {
  const plain: Manifest = {
    objectId: id,
    owner,
    sizeBytes: 5000,
    segmentBytes: 4096,
    layout: LAYOUT,
    expiresUnixMs: 1_800_000_000_000,
    holders: [0, 1, 2].map((shardIndex) => ({ nodeId: owner, shardIndex })),
    table: { kind: 'inline', ids: new Uint8Array(2 * 3 * 32).fill(3) },
  }
  const ids = [0, 1, 2].map((fill) => new Uint8Array(32).fill(fill))
  return [
    plain,
    { ...plain, sizeBytes: 0, holders: [], table: { kind: 'inline', ids: new Uint8Array(3 * 32) } },
    { ...plain, sizeBytes: 4096 * 1024 * 2 + 1, table: { kind: 'chunks', ids } },
  ]
}

/** The signed part of a manifest, and a manifest around such a part. */
function bodyOf(manifest: Uint8Array): Uint8Array {
  const wide = manifest[1] === 0x59
  const start = wide ? 4 : 3
  const length = wide ? ((manifest[2] ?? 0) << 8) | (manifest[3] ?? 0) : (manifest[2] ?? 0)
  return manifest.subarray(start, start + length)
}

function envelope(content: Uint8Array): Uint8Array {
  const { length } = content
  const head =
    length < 24 ? [0x40 | length] : length < 256 ? [0x58, length] : [0x59, length >> 8, length & 255]
  return Uint8Array.from([0x83, ...head, ...content, 0x41, 2, 0xa0])
}

function body(frame: Uint8Array): Uint8Array {
  return frame.subarray(FRAME_LENGTH_BYTES)
}

/** What a stream of frames says, read the plain way. */
function framesIn(bytes: Uint8Array): { readonly frames: Uint8Array[]; readonly isWhole: boolean } {
  const frames: Uint8Array[] = []
  let at = 0
  while (at < bytes.length) {
    const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
    const end = at + FRAME_LENGTH_BYTES + length
    if (length > MAX_FRAME_BYTES || end > bytes.length) return { frames, isWhole: false }
    frames.push(bytes.slice(at + FRAME_LENGTH_BYTES, end))
    at = end
  }
  return { frames, isWhole: true }
}

/** A stream that gives its bytes in pieces of random size. */
function streamOf(bytes: Uint8Array, random: FastRandom): ByteStream {
  let at = 0
  const readInto = (target: Uint8Array): Promise<number> => {
    const count = Math.min(target.byteLength, bytes.byteLength - at, 1 + random.below(300))
    target.set(bytes.subarray(at, at + count))
    at += count
    return Promise.resolve(count)
  }
  return { readInto } as unknown as ByteStream
}
