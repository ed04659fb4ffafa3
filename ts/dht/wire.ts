import { CborReader, CborWriter } from '../base/codec.ts'
import { EspalierError } from '../base/error.ts'
import { keyFromBytes, type Key, type NodeId } from '../base/identity.ts'
import {
  MAX_RECORD_BYTES,
  PUBLIC_KEY_BYTES,
  RECORD_KINDS,
  decodeRecord,
  encodeRecord,
  kindOf,
  type RecordKind,
  type SignedRecord,
} from '../base/record.ts'
import type { Address } from '../net/address.ts'
import type { MessageType } from '../net/message.ts'
import type { Peer } from './lookup.ts'
import {
  MAX_ADDRESSES_BYTES,
  MAX_PEERS_BYTES,
  readAddresses,
  readNodeId,
  readPeers,
  writeAddresses,
  writeNodeId,
  writePeers,
} from './peer-codec.ts'

// docs/records.cddl has the layout of every message here. Each ends with an extension map.

/** What a node says about itself with every message. Its id is the one that the handshake proved. */
export interface Sender {
  /** Whether it keeps records and answers; only then may it enter a routing table. */
  readonly serves: boolean
  readonly addresses: readonly Address[]
}

/** Most bytes of a sender with its head. */
export const SENDER_BYTES = 2 + MAX_ADDRESSES_BYTES
export const RECORD_FIELD_BYTES = MAX_RECORD_BYTES + 3
/** Heads, extension map and small fields. */
export const SLACK_BYTES = 64

/** Are you there, and who are you? */
export const ping: MessageType<Sender, Sender> = {
  name: 'dht.ping',
  protocol: 0x0100,
  trafficClass: 'control',
  isIdempotent: true,
  maxRequestBytes: SENDER_BYTES + SLACK_BYTES,
  maxResponseBytes: SENDER_BYTES + SLACK_BYTES,
  encodeRequest: encodeSender,
  decodeRequest: decodeSender,
  encodeResponse: encodeSender,
  decodeResponse: decodeSender,
}

export interface FindNodeRequest {
  readonly sender: Sender
  readonly target: Key
}

/** The peers that the answerer knows nearest to a key. */
export const findNode: MessageType<FindNodeRequest, readonly Peer[]> = {
  name: 'dht.findNode',
  protocol: 0x0101,
  trafficClass: 'request',
  isIdempotent: true,
  maxRequestBytes: SENDER_BYTES + 34 + SLACK_BYTES,
  maxResponseBytes: MAX_PEERS_BYTES + SLACK_BYTES,
  encodeRequest: ({ sender, target }) => {
    const writer = new CborWriter().array(3)
    writeSender(writer, sender)
    return writer.bytes(target).extensions().finish()
  },
  decodeRequest: (bytes) =>
    read(bytes, { maxBytes: findNode.maxRequestBytes, what: 'findNode request', items: 3 }, (reader) => ({
      sender: readSender(reader),
      target: readKey(reader),
    })),
  encodeResponse: (peers) => {
    const writer = new CborWriter().array(2)
    writePeers(writer, peers)
    return writer.extensions().finish()
  },
  decodeResponse: (bytes) =>
    read(bytes, { maxBytes: findNode.maxResponseBytes, what: 'findNode answer', items: 2 }, readPeers),
}

/** A record for a node to keep. */
export interface RecordOffer {
  readonly sender: Sender
  readonly record: SignedRecord
  /** The owner's; may be left out when the storing node has it already. */
  readonly publicKey: Uint8Array | undefined
}

export const MAX_OFFER_BYTES = SENDER_BYTES + RECORD_FIELD_BYTES + PUBLIC_KEY_BYTES + SLACK_BYTES

/** What became of a put. A record that fails verification is answered with the error `RECORD_INVALID`. */
export type PutOutcome =
  | { readonly kind: 'stored' }
  /** The owner's public key is needed: send again with it. */
  | { readonly kind: 'keyWanted' }
  /** A newer one is here, or another of the same sequence that was kept. */
  | { readonly kind: 'stale'; readonly current: SignedRecord }
  /** A quota is used up. */
  | { readonly kind: 'full' }

const OUTCOMES = ['stored', 'keyWanted', 'stale', 'full'] as const

/** Keep this record. */
export const putRecord: MessageType<RecordOffer, PutOutcome> = {
  name: 'dht.putRecord',
  protocol: 0x0102,
  trafficClass: 'request',
  isIdempotent: false,
  maxRequestBytes: MAX_OFFER_BYTES,
  maxResponseBytes: RECORD_FIELD_BYTES + SLACK_BYTES,
  encodeRequest: encodeOffer,
  decodeRequest: (bytes) => decodeOffer(bytes, 'putRecord request'),
  encodeResponse: (outcome) => {
    const writer = new CborWriter().array(3).uint(OUTCOMES.indexOf(outcome.kind))
    writeOptional(writer, outcome.kind === 'stale' ? encodeRecord(outcome.current) : undefined)
    return writer.extensions().finish()
  },
  decodeResponse: (bytes) =>
    read(bytes, { maxBytes: putRecord.maxResponseBytes, what: 'putRecord answer', items: 3 }, readOutcome),
}

export interface GetRecordRequest {
  readonly sender: Sender
  readonly kind: RecordKind
  readonly key: Key
}

export interface GetRecordResponse {
  readonly record: SignedRecord | undefined
  /** The peers nearest to the key, as `findNode` gives them. */
  readonly peers: readonly Peer[]
}

/** The record of a kind on a key, with the peers nearest to it. */
export const getRecord: MessageType<GetRecordRequest, GetRecordResponse> = {
  name: 'dht.getRecord',
  protocol: 0x0103,
  trafficClass: 'request',
  isIdempotent: true,
  maxRequestBytes: SENDER_BYTES + 34 + SLACK_BYTES,
  maxResponseBytes: RECORD_FIELD_BYTES + MAX_PEERS_BYTES + SLACK_BYTES,
  encodeRequest: ({ sender, kind, key }) => {
    const writer = new CborWriter().array(4)
    writeSender(writer, sender)
    return writer.uint(RECORD_KINDS[kind]).bytes(key).extensions().finish()
  },
  decodeRequest: (bytes) =>
    read(bytes, { maxBytes: getRecord.maxRequestBytes, what: 'getRecord request', items: 4 }, (reader) => ({
      sender: readSender(reader),
      kind: kindOf(reader.uint(255)),
      key: readKey(reader),
    })),
  encodeResponse: ({ record, peers }) => {
    const writer = new CborWriter().array(3)
    writeOptional(writer, record === undefined ? undefined : encodeRecord(record))
    writePeers(writer, peers)
    return writer.extensions().finish()
  },
  decodeResponse: (bytes) =>
    read(bytes, { maxBytes: getRecord.maxResponseBytes, what: 'getRecord answer', items: 3 }, (reader) => ({
      record: reader.none() ? undefined : readRecord(reader),
      peers: readPeers(reader),
    })),
}

/** The public key of a node, when the answerer has it. */
export const getKey: MessageType<NodeId, Uint8Array | undefined> = {
  name: 'dht.getKey',
  protocol: 0x0104,
  trafficClass: 'request',
  isIdempotent: true,
  maxRequestBytes: SLACK_BYTES,
  maxResponseBytes: PUBLIC_KEY_BYTES + SLACK_BYTES,
  encodeRequest: (id) => {
    const writer = new CborWriter().array(2)
    writeNodeId(writer, id)
    return writer.extensions().finish()
  },
  decodeRequest: (bytes) =>
    read(bytes, { maxBytes: getKey.maxRequestBytes, what: 'getKey request', items: 2 }, readNodeId),
  encodeResponse: (publicKey) => {
    const writer = new CborWriter().array(2)
    writeOptional(writer, publicKey)
    return writer.extensions().finish()
  },
  decodeResponse: (bytes) =>
    read(bytes, { maxBytes: getKey.maxResponseBytes, what: 'getKey answer', items: 2 }, (reader) =>
      reader.none() ? undefined : reader.bytes(PUBLIC_KEY_BYTES),
    ),
}

/** What concerns one key and is answered by yes or no. */
export interface KeyRequest {
  readonly sender: Sender
  readonly key: Key
}

/** A message of that shape; `name` is also how its faults are told, after `dht.`. */
export function keyMessage(name: string, protocol: number): MessageType<KeyRequest, boolean> {
  const maxRequestBytes = SENDER_BYTES + 34 + SLACK_BYTES
  return {
    name: `dht.${name}`,
    protocol,
    trafficClass: 'request',
    isIdempotent: false,
    maxRequestBytes,
    maxResponseBytes: SLACK_BYTES,
    encodeRequest: ({ sender, key }) => {
      const writer = new CborWriter().array(3)
      writeSender(writer, sender)
      return writer.bytes(key).extensions().finish()
    },
    decodeRequest: (bytes) =>
      read(bytes, { maxBytes: maxRequestBytes, what: `${name} request`, items: 3 }, (reader) => ({
        sender: readSender(reader),
        key: readKey(reader),
      })),
    encodeResponse: encodeFlag,
    decodeResponse: (bytes) => decodeFlag(bytes, `${name} answer`),
  }
}

/** An answer that is yes or no. */
export function encodeFlag(flag: boolean): Uint8Array {
  return new CborWriter().array(2).bool(flag).extensions().finish()
}

export function decodeFlag(bytes: Uint8Array, what: string): boolean {
  return read(bytes, { maxBytes: SLACK_BYTES, what, items: 2 }, (reader) => reader.bool())
}

function encodeSender(sender: Sender): Uint8Array {
  const writer = new CborWriter().array(2)
  writeSender(writer, sender)
  return writer.extensions().finish()
}

function decodeSender(bytes: Uint8Array): Sender {
  return read(bytes, { maxBytes: ping.maxRequestBytes, what: 'ping', items: 2 }, readSender)
}

export function writeSender(writer: CborWriter, sender: Sender): void {
  writer.array(2).bool(sender.serves)
  writeAddresses(writer, sender.addresses)
}

export function readSender(reader: CborReader): Sender {
  reader.array(2)
  return { serves: reader.bool(), addresses: readAddresses(reader) }
}

export function encodeOffer({ sender, record, publicKey }: RecordOffer): Uint8Array {
  const writer = new CborWriter().array(4)
  writeSender(writer, sender)
  writer.bytes(encodeRecord(record))
  writeOptional(writer, publicKey)
  return writer.extensions().finish()
}

export function decodeOffer(bytes: Uint8Array, what: string): RecordOffer {
  return read(bytes, { maxBytes: MAX_OFFER_BYTES, what, items: 4 }, (reader) => ({
    sender: readSender(reader),
    record: readRecord(reader),
    publicKey: reader.none() ? undefined : reader.bytes(PUBLIC_KEY_BYTES),
  }))
}

function readOutcome(reader: CborReader): PutOutcome {
  const kind = OUTCOMES[reader.uint(OUTCOMES.length - 1)]
  const current = reader.none() ? undefined : readRecord(reader)
  if (kind === undefined || (kind === 'stale') !== (current !== undefined)) {
    throw new EspalierError('PROTOCOL_VIOLATION', 'putRecord answer: outcome and record do not fit')
  }
  return kind === 'stale' && current !== undefined ? { kind, current } : ({ kind } as PutOutcome)
}

export function readKey(reader: CborReader): Key {
  return keyFromBytes(reader.bytes(32))
}

export function readRecord(reader: CborReader): SignedRecord {
  return decodeRecord(reader.bytesUpTo(MAX_RECORD_BYTES))
}

export function writeOptional(writer: CborWriter, bytes: Uint8Array | undefined): void {
  if (bytes === undefined) writer.none()
  else writer.bytes(bytes)
}

/** One message: an array of `items` places, the last of which is the extension map. */
export function read<T>(
  bytes: Uint8Array,
  shape: { readonly maxBytes: number; readonly what: string; readonly items: number },
  body: (reader: CborReader) => T,
): T {
  const reader = new CborReader(bytes, shape)
  reader.array(shape.items)
  const value = body(reader)
  reader.extensions()
  reader.end()
  return value
}
