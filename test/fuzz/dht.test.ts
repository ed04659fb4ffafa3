import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { nodeIdFromBytes } from '../../ts/base/identity.ts'
import { pathLength, rootOf } from '../../ts/base/merkle.ts'
import {
  decodeRecord,
  encodeBody,
  encodeRecord,
  faultOf,
  keyOfRecord,
  type SignedRecord,
} from '../../ts/base/record.ts'
import { decodeNodeAd, encodeNodeAd } from '../../ts/dht/node-ad.ts'
import { decodePointer, encodePointer } from '../../ts/dht/pointer.ts'
import { decodeRegister, encodeRegister } from '../../ts/dht/register.ts'
import { findNode, getKey, getRecord, ping, putRecord } from '../../ts/dht/wire.ts'
import type { Address } from '../../ts/net/address.ts'
import type { MessageType } from '../../ts/net/message.ts'
import { StubSigner } from '../../ts/sim/crypto.ts'
import { SeededRng } from '../../ts/sim/rng.ts'
import { fuzz, FUZZ_FACTOR, FUZZ_SEED, FUZZ_TIMEOUT_MS, type FuzzCase, type Outcome } from './campaign.ts'
import { messageCases } from './message-cases.ts'

const messages = frozen('messages.json') as Readonly<Record<string, string>>
const crypto = new StubSigner(new SeededRng('fuzzed records'))
const first = decodeRecord(firstRecord())
const owner = nodeIdFromBytes(new Uint8Array(32).fill(5))

/** Mutations of each case in a normal run. */
const MUTATIONS = 40_000

const cases: readonly (readonly [name: string, run: () => Outcome])[] = [
  ...message(ping, 'ping'),
  ...message(findNode, 'findNode'),
  ...message(putRecord, 'putRecord'),
  ...message(getRecord, 'getRecord'),
  ...message(getKey, 'getKey'),
  ...one({
    name: 'record',
    corpus: records(),
    decode: decodeRecord,
    encode: encodeRecord,
    codes: ['PROTOCOL_VIOLATION'],
    check: checkRecord,
  }),
  ...one({
    name: 'record body',
    corpus: records().map((bytes) => decodeRecord(bytes).bodyBytes),
    decode: (bytes) => decodeRecord(encodeRecord({ ...first, bodyBytes: bytes })).body,
    encode: encodeBody,
    codes: ['PROTOCOL_VIOLATION'],
  }),
  ...one({
    name: 'node ad',
    corpus: [encodeNodeAd([]), encodeNodeAd(addresses())],
    decode: (payload) => decodeNodeAd(bodyWith(payload)),
    encode: encodeNodeAd,
    codes: ['PROTOCOL_VIOLATION'],
  }),
  ...one({
    name: 'pointer',
    corpus: [0, 1, 12].map((count) =>
      encodePointer({
        root: new Uint8Array(32),
        holders: Array.from({ length: count }, () => owner),
        expiresUnixMs: 1,
      }),
    ),
    decode: (payload) => decodePointer(bodyWith(payload)),
    encode: encodePointer,
    codes: ['PROTOCOL_VIOLATION'],
  }),
  ...one({
    name: 'register',
    corpus: [0, 1, 256].map((size) => encodeRegister(new Uint8Array(size).fill(7))),
    decode: (payload) => decodeRegister(bodyWith(payload)),
    encode: encodeRegister,
    codes: ['PROTOCOL_VIOLATION'],
  }),
]

test.each(cases)(
  '%s: changed bytes are refused with a code, or say exactly what they say',
  (name, run) => {
    const { accepted, refused } = run()

    console.log(`${name}: seed ${FUZZ_SEED}, ${accepted} accepted, ${refused} refused`)
    // A fuzzer that is always refused at the first byte would show nothing.
    expect(accepted).toBeGreaterThan(MUTATIONS / 1000)
    expect(refused).toBeGreaterThan(accepted / 100)
  },
  FUZZ_TIMEOUT_MS,
)

function message<Request, Response>(
  type: MessageType<Request, Response>,
  name: string,
): readonly (readonly [string, () => Outcome])[] {
  const [request, answer] = messageCases(type, { name, messages })
  return [...one(request), ...one(answer)]
}

function one<Value>(fuzzed: FuzzCase<Value>): readonly (readonly [string, () => Outcome])[] {
  return [[fuzzed.name, () => fuzz(fuzzed, { mutations: MUTATIONS * FUZZ_FACTOR })]]
}

/** What a node does with a record before it trusts it must end for every record that decodes. */
function checkRecord(record: SignedRecord): void {
  const { path, body, bodyBytes } = record
  const root = rootOf(crypto, bodyBytes, path)
  const fits = path.index < path.count && path.siblings.length === pathLength(path)
  if ((root !== undefined) !== fits) throw new Error('a path that does not fit has a root')
  if (keyOfRecord(crypto, body).byteLength !== 32) throw new Error('a record without a place')
  const context = { publicKey: crypto.publicKey, nowUnixMs: body.issuedUnixMs }
  if (faultOf(crypto, record, context) === undefined) throw new Error('a forged record is valid')
}

function records(): Uint8Array[] {
  const { batches } = frozen('records.json') as {
    readonly batches: readonly { readonly records: readonly { readonly record: string }[] }[]
  }
  return batches.flatMap((batch) => batch.records.map(({ record }) => fromHex(record)))
}

function firstRecord(): Uint8Array {
  const [bytes] = records()
  if (bytes === undefined) throw new Error('no frozen record')
  return bytes
}

function bodyWith(payload: Uint8Array) {
  const kind = 'DATA_POINTER' as const
  return { kind, subject: new Uint8Array(32), owner, sequence: 1, issuedUnixMs: 1, expiresUnixMs: 1, payload }
}

function addresses(): Address[] {
  return [
    { host: '192.0.2.1', port: 4_840 },
    { host: '2001:db8::1', port: 65_535 },
    { host: '::ffff:192.0.2.9', port: 1 },
  ]
}

function frozen(file: string): unknown {
  return JSON.parse(readFileSync(new URL(`../vectors/records/${file}`, import.meta.url), 'utf8'))
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}
