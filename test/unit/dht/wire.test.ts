import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { toHex } from '../../../ts/base/bytes.ts'
import { EspalierError } from '../../../ts/base/error.ts'
import { keyFromBytes, nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { decodeRecord, type SignedRecord } from '../../../ts/base/record.ts'
import type { Peer } from '../../../ts/dht/lookup.ts'
import { findNode, getKey, getRecord, ping, putRecord, type Sender } from '../../../ts/dht/wire.ts'
import type { MessageType } from '../../../ts/net/message.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'

const VECTORS = new URL('../../vectors/records/', import.meta.url)
const record = readRecord()
const key = keyFromBytes(new Uint8Array(32).fill(0x11))
const id = nodeIdFromBytes(new Uint8Array(32).fill(0x22))
const sender: Sender = { serves: true, addresses: [{ host: '192.0.2.1', port: 4_840 }] }
const client: Sender = { serves: false, addresses: [] }
const peers: readonly Peer[] = [{ id, addresses: [{ host: '2001:db8::1', port: 65_535 }] }]
const publicKey = new Uint8Array(1_952).fill(0x33)

/** Each message with its codec: name, what it is, encode, decode. */
const cases: readonly Case[] = [
  ...request(ping, 'server', sender),
  ...request(ping, 'client', client),
  ...response(ping, 'server', sender),
  ...request(findNode, 'plain', { sender, target: key }),
  ...response(findNode, 'peers', peers),
  ...response(findNode, 'nobody', []),
  ...request(putRecord, 'with key', { sender, record, publicKey }),
  ...request(putRecord, 'without key', { sender: client, record, publicKey: undefined }),
  ...response(putRecord, 'stored', { kind: 'stored' }),
  ...response(putRecord, 'key wanted', { kind: 'keyWanted' }),
  ...response(putRecord, 'stale', { kind: 'stale', current: record }),
  ...response(putRecord, 'full', { kind: 'full' }),
  ...request(getRecord, 'pointer', { sender, kind: 'DATA_POINTER', key }),
  ...response(getRecord, 'found', { record, peers }),
  ...response(getRecord, 'not found', { record: undefined, peers: [] }),
  ...request(getKey, 'id', id),
  ...response(getKey, 'known', publicKey),
  ...response(getKey, 'unknown', undefined),
]

test('the bytes of every message never change', () => {
  const file = new URL('messages.json', VECTORS)
  const bytes = Object.fromEntries(cases.map(({ name, encoded }) => [name, toHex(encoded)]))

  expect(bytes).toEqual(JSON.parse(readFileSync(file, 'utf8')))
})

test('every message decodes to what was encoded, and nothing shorter or longer decodes', () => {
  for (const { encoded, value, decode } of cases) {
    expect(decode(encoded)).toEqual(value)
    for (let length = 0; length < encoded.length; length += encoded.length > 500 ? 97 : 1) {
      expect(codeOf(() => decode(encoded.subarray(0, length)))).toBe('PROTOCOL_VIOLATION')
    }
    expect(codeOf(() => decode(Uint8Array.from([...encoded, 0])))).toBe('PROTOCOL_VIOLATION')
  }
})

test('20,000 changed messages are refused with PROTOCOL_VIOLATION or say exactly what their bytes say', () => {
  const rng = new SeededRng('changed messages')
  let accepted = 0

  for (let run = 0; run < 20_000; run += 1) {
    const { encoded, decode, encode } = cases[run % cases.length]!
    const changed = Uint8Array.from(encoded)
    for (let count = 1 + rng.below(3); count > 0; count -= 1) {
      changed[rng.below(Math.min(changed.length, 200))] = rng.below(256)
    }
    let value: unknown
    try {
      value = decode(changed)
    } catch (thrown) {
      expect((thrown as EspalierError).code).toBe('PROTOCOL_VIOLATION')
      continue
    }
    accepted += 1
    expect(toHex(encode(value))).toBe(toHex(changed))
  }

  expect(accepted).toBeGreaterThan(100)
})

describe('the largest of everything fits its limit', () => {
  const most: Sender = {
    serves: true,
    addresses: Array.from({ length: 8 }, (_, at) => ({
      host: '0000:1111:2222:3333:4444:5555:255.255.255.255',
      port: 65_535 - at,
    })),
  }
  const crowd: Peer[] = Array.from({ length: 20 }, (_, at) => ({
    id: nodeIdFromBytes(new Uint8Array(32).fill(at)),
    addresses: most.addresses,
  }))

  test.each([
    ['ping', ping.encodeRequest(most), ping.maxRequestBytes],
    ['findNode', findNode.encodeRequest({ sender: most, target: key }), findNode.maxRequestBytes],
    ['findNode answer', findNode.encodeResponse(crowd), findNode.maxResponseBytes],
    ['putRecord', putRecord.encodeRequest({ sender: most, record, publicKey }), putRecord.maxRequestBytes],
    [
      'putRecord answer',
      putRecord.encodeResponse({ kind: 'stale', current: record }),
      putRecord.maxResponseBytes,
    ],
    ['getRecord', getRecord.encodeRequest({ sender: most, kind: 'NODE_AD', key }), getRecord.maxRequestBytes],
    ['getRecord answer', getRecord.encodeResponse({ record, peers: crowd }), getRecord.maxResponseBytes],
    ['getKey', getKey.encodeRequest(id), getKey.maxRequestBytes],
    ['getKey answer', getKey.encodeResponse(publicKey), getKey.maxResponseBytes],
  ])('%s', (_, encoded, maxBytes) => {
    expect(encoded.byteLength).toBeLessThanOrEqual(maxBytes)
  })

  test('more than eight addresses or twenty peers are not told', () => {
    const twice = [...most.addresses, ...most.addresses]

    expect(ping.decodeRequest(ping.encodeRequest({ serves: true, addresses: twice }))).toEqual(most)
    expect(findNode.decodeResponse(findNode.encodeResponse([...crowd, ...crowd]))).toEqual(crowd)
  })
})

test.each([
  ['a host name', 'example.org', 80],
  ['a zone', 'fe80::1%eth0', 80],
  ['upper case', '2001:DB8::1', 80],
  ['a number out of range', '192.0.2.256', 80],
  ['port 0', '192.0.2.1', 0],
  ['nothing', '', 80],
])('%s is no address', (_, host, port) => {
  const encoded = ping.encodeRequest({ serves: true, addresses: [{ host, port }] })

  expect(codeOf(() => ping.decodeRequest(encoded))).toBe('PROTOCOL_VIOLATION')
})

interface Case {
  readonly name: string
  readonly encoded: Uint8Array
  readonly value: unknown
  readonly decode: (bytes: Uint8Array) => unknown
  readonly encode: (value: unknown) => Uint8Array
}

function request<Q, R>(type: MessageType<Q, R>, what: string, value: Q): Case[] {
  const encode = (given: unknown) => type.encodeRequest(given as Q)
  const decode = (bytes: Uint8Array) => type.decodeRequest(bytes)
  return [{ name: `${type.name} request, ${what}`, encoded: encode(value), value, decode, encode }]
}

function response<Q, R>(type: MessageType<Q, R>, what: string, value: R): Case[] {
  const encode = (given: unknown) => type.encodeResponse(given as R)
  const decode = (bytes: Uint8Array) => type.decodeResponse(bytes)
  return [{ name: `${type.name} response, ${what}`, encoded: encode(value), value, decode, encode }]
}

function readRecord(): SignedRecord {
  const file = JSON.parse(readFileSync(new URL('records.json', VECTORS), 'utf8')) as {
    readonly batches: readonly { readonly records: readonly { readonly record: string }[] }[]
  }
  return decodeRecord(Buffer.from(file.batches[3]!.records[1]!.record, 'hex'))
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
