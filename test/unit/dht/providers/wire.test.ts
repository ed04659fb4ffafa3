import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { toHex } from '../../../../ts/base/bytes.ts'
import { EspalierError } from '../../../../ts/base/error.ts'
import { nodeIdFromBytes } from '../../../../ts/base/identity.ts'
import {
  MAX_BODY_BYTES,
  encodeBody,
  encodeRecord,
  faultOf,
  keyOfRecord,
  nodeIdOf,
  signRecords,
  type RecordBody,
} from '../../../../ts/base/record.ts'
import { pseudonymsOf, receiptsAreSigned, signReceipts } from '../../../../ts/dht/provider-receipt.ts'
import { decodeProvider, encodeProvider } from '../../../../ts/dht/provider-record.ts'
import { encodeSummary } from '../../../../ts/dht/provider-summary.ts'
import {
  getProviders,
  getSummary,
  giveReceipts,
  putProvider,
  removeProvider,
} from '../../../../ts/dht/provider-wire.ts'
import type { Sender } from '../../../../ts/dht/wire.ts'
import type { MessageType } from '../../../../ts/net/message.ts'
import { realCrypto } from '../fake-network.ts'

const VECTORS = new URL('../../../vectors/providers/providers.json', import.meta.url)
const HOUR_MS = 3_600_000
const crypto = realCrypto(Uint8Array.from({ length: 32 }, (_, at) => at))
const provider = nodeIdOf(crypto, crypto.publicKey)
const root = new Uint8Array(32).fill(0x22)
const ids = Array.from({ length: 300 }, (_, at) => crypto.hash(Uint8Array.of(at >> 8, at & 255)))
const epoch = 1_790_000_000_000
const summary = encodeSummary(crypto, ids, { root, provider, epoch })
const addresses = [
  { host: '192.0.2.1', port: 4_840 },
  { host: '2001:db8::1', port: 65_535 },
]
const body: RecordBody = {
  kind: 'PROVIDER',
  subject: root,
  owner: provider,
  sequence: epoch + 1,
  issuedUnixMs: epoch + 1,
  expiresUnixMs: epoch + 1 + 2 * HOUR_MS,
  payload: encodeProvider({ epoch, shape: summary.shape, hash: summary.hash, addresses }),
}
const [record] = signRecords(crypto, [body])
const sender: Sender = { serves: true, addresses }
const key = keyOfRecord(crypto, body)
const batch = {
  reader: provider,
  provider: nodeIdFromBytes(new Uint8Array(32).fill(7)),
  receipts: [
    { root, epoch, window: 2_983_333, chunks: 17 },
    { root: new Uint8Array(32).fill(3), epoch: 1, window: 2_983_334, chunks: 1 },
  ],
}
const signed = signReceipts(crypto, batch)
const pseudonymous = pseudonymsOf(crypto, batch, new Uint8Array(32).fill(9))

const asked = {
  root,
  epoch,
  wantsIndex: true,
  segments: { from: 0, count: 1 },
  addedFrom: 3,
  wantsRecord: false,
}
const whole = {
  kind: 'summary',
  index: summary.index,
  segments: summary.segments,
  added: ids.slice(0, 2),
} as const

const cases: readonly Case[] = [
  request(putProvider, 'with key', { sender, record: record!, publicKey: crypto.publicKey }),
  request(putProvider, 'without key', { sender, record: record!, publicKey: undefined }),
  ...(['stored', 'keyWanted', 'stale', 'full'] as const).map((kind) => response(putProvider, kind, kind)),
  request(getProviders, 'first', { sender, key, after: undefined }),
  request(getProviders, 'next', { sender, key, after: provider }),
  response(getProviders, 'one', {
    records: [record!],
    hasMore: true,
    peers: [{ id: nodeIdFromBytes(root), addresses }],
  }),
  response(getProviders, 'none', { records: [], hasMore: false, peers: [] }),
  request(removeProvider, 'plain', { sender, key }),
  response(removeProvider, 'removed', true),
  response(removeProvider, 'unknown', false),
  request(getSummary, 'part', asked),
  response(getSummary, 'summary', { ...whole, record: record! }),
  response(getSummary, 'nothing new', {
    kind: 'summary',
    index: undefined,
    segments: [],
    added: [],
    record: undefined,
  }),
  response(getSummary, 'moved', { kind: 'moved', record: record! }),
  response(getSummary, 'none', { kind: 'none' }),
  request(giveReceipts, 'signed', { receipts: batch.receipts, proof: signed, publicKey: crypto.publicKey }),
  request(giveReceipts, 'under names', {
    receipts: batch.receipts,
    proof: pseudonymous,
    publicKey: undefined,
  }),
  response(giveReceipts, 'taken', { kind: 'taken', count: 2 }),
  response(giveReceipts, 'key wanted', { kind: 'keyWanted' }),
]

test('the bytes of every message, of an announcement and of a summary never change', () => {
  const bytes = {
    key: toHex(key),
    record: toHex(encodeRecord(record!)),
    payload: toHex(body.payload),
    segment: toHex(summary.segments[0]!),
    index: toHex(summary.index),
    messages: Object.fromEntries(cases.map(({ name, encoded }) => [name, toHex(encoded)])),
  }

  expect(bytes).toEqual(JSON.parse(readFileSync(VECTORS, 'utf8')))
})

test('every message decodes to what was encoded, and nothing shorter or longer decodes', () => {
  for (const { encoded, value, decode, maxBytes } of cases) {
    expect(decode(encoded)).toEqual(value)
    expect(encoded.byteLength).toBeLessThanOrEqual(maxBytes)
    for (let length = 0; length < encoded.length; length += encoded.length > 500 ? 97 : 1) {
      expect(codeOf(() => decode(encoded.subarray(0, length)))).toBe('PROTOCOL_VIOLATION')
    }
    expect(codeOf(() => decode(Uint8Array.from([...encoded, 0])))).toBe('PROTOCOL_VIOLATION')
  }
})

test('the largest of everything fits its limit, and one more does not decode', () => {
  const most: Sender = {
    serves: true,
    addresses: Array.from({ length: 8 }, (_, at) => ({
      host: '0000:1111:2222:3333:4444:5555:255.255.255.255',
      port: 65_535 - at,
    })),
  }
  const peers = Array.from({ length: 20 }, () => ({ id: provider, addresses: most.addresses }))
  const largest = {
    ...record!,
    path: { index: 0, count: 64, siblings: Array.from({ length: 6 }, () => root) },
  }
  const records = (count: number) => Array.from({ length: count }, () => largest)
  const segments = (count: number) => Array.from({ length: count }, () => new Uint8Array(16_384))
  const answer = (count: number) => ({
    kind: 'summary' as const,
    index: new Uint8Array(256 * 36),
    segments: segments(count),
    added: Array.from({ length: 64 }, () => root),
    record: largest,
  })
  const receipt = { root, epoch: 2 ** 53 - 1, window: 2 ** 53 - 1, chunks: 1_048_576 }
  const given = (count: number, kind: 'signed' | 'pseudonym') => ({
    receipts: Array.from({ length: count }, () => receipt),
    proof:
      kind === 'signed'
        ? signed
        : ({ kind: 'pseudonym', tags: Array.from({ length: count }, () => root) } as const),
    publicKey: kind === 'signed' ? crypto.publicKey : undefined,
  })
  const fits: [Uint8Array, number][] = [
    [
      putProvider.encodeRequest({ sender: most, record: largest, publicKey: crypto.publicKey }),
      putProvider.maxRequestBytes,
    ],
    [getProviders.encodeRequest({ sender: most, key, after: provider }), getProviders.maxRequestBytes],
    [
      getProviders.encodeResponse({ records: records(16), hasMore: true, peers }),
      getProviders.maxResponseBytes,
    ],
    [removeProvider.encodeRequest({ sender: most, key }), removeProvider.maxRequestBytes],
    [
      getSummary.encodeRequest({ ...asked, epoch: 2 ** 53 - 1, segments: { from: 255, count: 16 } }),
      getSummary.maxRequestBytes,
    ],
    [getSummary.encodeResponse(answer(16)), getSummary.maxResponseBytes],
    [giveReceipts.encodeRequest(given(64, 'signed')), giveReceipts.maxRequestBytes],
    [giveReceipts.encodeRequest(given(64, 'pseudonym')), giveReceipts.maxRequestBytes],
  ]
  for (const [encoded, maxBytes] of fits) expect(encoded.byteLength).toBeLessThanOrEqual(maxBytes)
  const refused = [
    () =>
      getProviders.decodeResponse(
        getProviders.encodeResponse({ records: records(17), hasMore: true, peers: [] }),
      ),
    () => getSummary.decodeRequest(getSummary.encodeRequest({ ...asked, segments: { from: 256, count: 1 } })),
    () => getSummary.decodeRequest(getSummary.encodeRequest({ ...asked, segments: { from: 0, count: 17 } })),
    () => getSummary.decodeRequest(getSummary.encodeRequest({ ...asked, addedFrom: 65 })),
    () => getSummary.decodeResponse(getSummary.encodeResponse(answer(17))),
    () => giveReceipts.decodeRequest(giveReceipts.encodeRequest(given(65, 'pseudonym'))),
    () => giveReceipts.decodeRequest(giveReceipts.encodeRequest(given(0, 'pseudonym'))),
    () => giveReceipts.decodeResponse(giveReceipts.encodeResponse({ kind: 'taken', count: 65 })),
  ]
  for (const act of refused) expect(codeOf(act)).toBe('PROTOCOL_VIOLATION')
})

describe('an announcement', () => {
  test('says what its payload says, and lies on the key of its root whoever signed it', () => {
    expect(decodeProvider(body)).toEqual({
      root,
      provider,
      epoch,
      shape: { count: 300, parameter: 11 },
      hash: summary.hash,
      addresses,
      expiresUnixMs: body.expiresUnixMs,
    })
    expect(key).toEqual(crypto.deriveKey('espalier provider key v1', root))
    expect(keyOfRecord(crypto, { ...body, owner: batch.provider })).toEqual(key)
  })

  test('lives sixteen hours at most', () => {
    const living = (lifetimeMs: number) => {
      const [made] = signRecords(crypto, [{ ...body, expiresUnixMs: body.issuedUnixMs + lifetimeMs }])
      return faultOf(crypto, made!, { publicKey: crypto.publicKey, nowUnixMs: body.issuedUnixMs })
    }
    expect(living(16 * HOUR_MS)).toBeUndefined()
    expect(living(16 * HOUR_MS + 1)).toMatch(/lives longer/)
  })

  test('names as many addresses as fit into 512 bytes', () => {
    const long = Array.from({ length: 8 }, (_, at) => ({
      host: `2001:db8:1111:2222:3333:4444:5555:${at + 1}000`,
      port: 65_535,
    }))
    const payload = encodeProvider({
      epoch: 2 ** 53 - 1,
      shape: { count: 1_048_576, parameter: 12 },
      hash: summary.hash,
      addresses: long,
    })
    const full = { ...body, payload, sequence: 2 ** 53 - 1 }
    expect(encodeBody(full).byteLength).toBeLessThanOrEqual(MAX_BODY_BYTES)
    const told = decodeProvider(full).addresses
    expect(told.length).toBeGreaterThan(5)
    expect(told).toEqual(long.slice(0, told.length))
  })

  test.each([
    ['no ids', { count: 0, parameter: 11 }],
    ['one id too many', { count: 1_048_577, parameter: 11 }],
    ['a parameter too small', { count: 1, parameter: 3 }],
    ['a parameter too large', { count: 1, parameter: 13 }],
  ])('of %s is refused', (_, shape) => {
    const payload = encodeProvider({ epoch, shape, hash: summary.hash, addresses: [] })
    expect(codeOf(() => decodeProvider({ ...body, payload }))).toBe('PROTOCOL_VIOLATION')
  })
})

describe('receipts', () => {
  test('are signed for one reader, one provider and exactly these chunks', () => {
    if (signed.kind !== 'signed') throw new Error('not signed')
    const proof = { signature: signed.signature, publicKey: crypto.publicKey }
    expect(receiptsAreSigned(crypto, batch, proof)).toBe(true)
    const [first, second] = batch.receipts
    for (const changed of [
      { ...batch, provider },
      { ...batch, reader: batch.provider },
      { ...batch, receipts: [first!] },
      { ...batch, receipts: [second!, first!] },
      { ...batch, receipts: [{ ...first!, chunks: 18 }, second!] },
    ]) {
      expect(receiptsAreSigned(crypto, changed, proof)).toBe(false)
    }
    expect(receiptsAreSigned(crypto, batch, { ...proof, publicKey: realCrypto().publicKey })).toBe(false)
  })

  test('under names have another for every root, epoch, provider and reader, and the same again', () => {
    const secret = new Uint8Array(32).fill(1)
    const tagsOf = (change: object, of = secret) => {
      const proof = pseudonymsOf(crypto, { ...batch, receipts: [{ ...batch.receipts[0]!, ...change }] }, of)
      return proof.kind === 'pseudonym' ? toHex(proof.tags[0]!) : ''
    }
    const first = tagsOf({})
    expect(tagsOf({ window: 1, chunks: 2 })).toBe(first)
    const others = [
      tagsOf({ epoch: 5 }),
      tagsOf({ root: new Uint8Array(32) }),
      tagsOf({}, new Uint8Array(32).fill(2)),
    ]
    expect(new Set([first, ...others]).size).toBe(4)
  })

  test('with a signature and names, with some names, or of nothing are refused', () => {
    const tagged = giveReceipts.encodeRequest({
      receipts: batch.receipts,
      proof: pseudonymous,
      publicKey: undefined,
    })
    expect(giveReceipts.decodeRequest(tagged).proof.kind).toBe('pseudonym')
    const some = {
      kind: 'pseudonym' as const,
      tags: pseudonymous.kind === 'pseudonym' ? pseudonymous.tags.slice(1) : [],
    }
    const none = { kind: 'pseudonym' as const, tags: [] }
    const zero = [{ ...batch.receipts[0]!, chunks: 0 }]
    for (const wrong of [
      { receipts: batch.receipts, proof: some, publicKey: undefined },
      { receipts: batch.receipts, proof: none, publicKey: undefined },
      { receipts: batch.receipts, proof: pseudonymous, publicKey: crypto.publicKey },
      { receipts: zero, proof: signed, publicKey: undefined },
    ]) {
      expect(codeOf(() => giveReceipts.decodeRequest(giveReceipts.encodeRequest(wrong)))).toBe(
        'PROTOCOL_VIOLATION',
      )
    }
  })
})

interface Case {
  readonly name: string
  readonly encoded: Uint8Array
  readonly value: unknown
  readonly maxBytes: number
  readonly decode: (bytes: Uint8Array) => unknown
}

function request<Q, R>(type: MessageType<Q, R>, what: string, value: Q): Case {
  const decode = (bytes: Uint8Array) => type.decodeRequest(bytes)
  const { name, maxRequestBytes: maxBytes } = type
  return { name: `${name} request, ${what}`, encoded: type.encodeRequest(value), value, maxBytes, decode }
}

function response<Q, R>(type: MessageType<Q, R>, what: string, value: R): Case {
  const decode = (bytes: Uint8Array) => type.decodeResponse(bytes)
  const { name, maxResponseBytes: maxBytes } = type
  return { name: `${name} response, ${what}`, encoded: type.encodeResponse(value), value, maxBytes, decode }
}

function codeOf(act: () => unknown): string | undefined {
  try {
    act()
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
