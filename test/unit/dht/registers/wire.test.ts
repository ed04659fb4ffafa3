import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { toHex } from '../../../../ts/base/bytes.ts'
import { EspalierError } from '../../../../ts/base/error.ts'
import { keyFromBytes } from '../../../../ts/base/identity.ts'
import { decodeRecord, encodeRecord, type SignedRecord } from '../../../../ts/base/record.ts'
import { MAX_HISTORY, getHistory } from '../../../../ts/dht/register-wire.ts'
import { MAX_LEASE_MS, endLease, leaseRegister, pushRegister } from '../../../../ts/dht/watch-wire.ts'
import type { Sender } from '../../../../ts/dht/wire.ts'
import type { MessageType } from '../../../../ts/net/message.ts'

const VECTORS = new URL('../../../vectors/records/', import.meta.url)
const records = readRecords()
const record = records[0]!
const key = keyFromBytes(new Uint8Array(32).fill(0x11))
const hash = new Uint8Array(32).fill(0x44)
const sender: Sender = { serves: true, addresses: [{ host: '192.0.2.1', port: 4_840 }] }
const client: Sender = { serves: false, addresses: [] }

const cases: readonly Case[] = [
  ...request(getHistory, 'whole', { sender, key, earlier: 8 }),
  ...request(getHistory, 'newest alone', { sender: client, key, earlier: 0 }),
  ...response(getHistory, 'two', records.slice(0, 2)),
  ...response(getHistory, 'nothing', []),
  ...request(leaseRegister, 'nothing known', { sender: client, key, leaseMs: 600_000, known: undefined }),
  ...request(leaseRegister, 'one version known', { sender, key, leaseMs: 1, known: hash }),
  ...response(leaseRegister, 'with a record', { leaseMs: 600_000, record }),
  ...response(leaseRegister, 'without one', { leaseMs: 60_000, record: undefined }),
  ...request(endLease, 'plain', { sender, key }),
  ...response(endLease, 'it was there', true),
  ...response(endLease, 'it was not', false),
  ...request(pushRegister, 'plain', { sender, record }),
  ...response(pushRegister, 'new', true),
  ...response(pushRegister, 'known', false),
]

test('the bytes of every message about registers never change', () => {
  const bytes = Object.fromEntries(cases.map(({ name, encoded }) => [name, toHex(encoded)]))

  expect(bytes).toEqual(JSON.parse(readFileSync(new URL('registers.json', VECTORS), 'utf8')))
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

describe('the largest of everything fits its limit', () => {
  const most: Sender = {
    serves: true,
    addresses: Array.from({ length: 8 }, (_, at) => ({
      host: '0000:1111:2222:3333:4444:5555:255.255.255.255',
      port: 65_535 - at,
    })),
  }
  const largest = records.reduce((a, b) => (encodeRecord(a).length > encodeRecord(b).length ? a : b))
  const all = Array.from({ length: MAX_HISTORY }, () => largest)

  test.each([
    [
      'getHistory',
      getHistory.encodeRequest({ sender: most, key, earlier: MAX_HISTORY - 1 }),
      getHistory.maxRequestBytes,
    ],
    ['getHistory answer', getHistory.encodeResponse(all), getHistory.maxResponseBytes],
    [
      'leaseRegister',
      leaseRegister.encodeRequest({ sender: most, key, leaseMs: MAX_LEASE_MS, known: hash }),
      leaseRegister.maxRequestBytes,
    ],
    [
      'leaseRegister answer',
      leaseRegister.encodeResponse({ leaseMs: MAX_LEASE_MS, record: largest }),
      leaseRegister.maxResponseBytes,
    ],
    ['endLease', endLease.encodeRequest({ sender: most, key }), endLease.maxRequestBytes],
    [
      'pushRegister',
      pushRegister.encodeRequest({ sender: most, record: largest }),
      pushRegister.maxRequestBytes,
    ],
  ])('%s', (_, encoded, maxBytes) => {
    expect(encoded.byteLength).toBeLessThanOrEqual(maxBytes)
  })
})

test('more than eight earlier records can be neither asked for nor told', () => {
  const asked = getHistory.encodeRequest({ sender, key, earlier: 9 })
  const told = getHistory.encodeResponse(Array.from({ length: MAX_HISTORY + 1 }, () => record))

  expect(codeOf(() => getHistory.decodeRequest(asked))).toBe('PROTOCOL_VIOLATION')
  expect(codeOf(() => getHistory.decodeResponse(told))).toBe('PROTOCOL_VIOLATION')
})

test('a lease of no time, or of more than ten minutes, can be neither asked for nor granted', () => {
  for (const leaseMs of [0, MAX_LEASE_MS + 1]) {
    const asked = leaseRegister.encodeRequest({ sender, key, leaseMs, known: undefined })
    const granted = leaseRegister.encodeResponse({ leaseMs, record: undefined })

    expect(codeOf(() => leaseRegister.decodeRequest(asked))).toBe('PROTOCOL_VIOLATION')
    expect(codeOf(() => leaseRegister.decodeResponse(granted))).toBe('PROTOCOL_VIOLATION')
  }
})

interface Case {
  readonly name: string
  readonly encoded: Uint8Array
  readonly value: unknown
  readonly decode: (bytes: Uint8Array) => unknown
}

function request<Q, R>(type: MessageType<Q, R>, what: string, value: Q): Case[] {
  const decode = (bytes: Uint8Array) => type.decodeRequest(bytes)
  return [{ name: `${type.name} request, ${what}`, encoded: type.encodeRequest(value), value, decode }]
}

function response<Q, R>(type: MessageType<Q, R>, what: string, value: R): Case[] {
  const decode = (bytes: Uint8Array) => type.decodeResponse(bytes)
  return [{ name: `${type.name} response, ${what}`, encoded: type.encodeResponse(value), value, decode }]
}

function readRecords(): readonly SignedRecord[] {
  const file = JSON.parse(readFileSync(new URL('records.json', VECTORS), 'utf8')) as {
    readonly batches: readonly { readonly records: readonly { readonly record: string }[] }[]
  }
  return file.batches.flatMap((batch) =>
    batch.records.map((one) => decodeRecord(Buffer.from(one.record, 'hex'))),
  )
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (thrown) {
    return thrown instanceof EspalierError ? thrown.code : String(thrown)
  }
}
