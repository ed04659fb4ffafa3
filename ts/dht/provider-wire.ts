import { CborWriter, type CborReader } from '../base/codec.ts'
import { EspalierError } from '../base/error.ts'
import type { Key, NodeId } from '../base/identity.ts'
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES, encodeRecord, type SignedRecord } from '../base/record.ts'
import type { MessageType } from '../net/message.ts'
import type { Peer } from './lookup.ts'
import { MAX_PEERS_BYTES, readNodeId, readPeers, writeNodeId, writePeers } from './peer-codec.ts'
import { MAX_RECEIPTS, MAX_RECEIPT_CHUNKS, type Receipt, type ReceiptProof } from './provider-receipt.ts'
import {
  ID_BYTES,
  INDEX_ENTRY_BYTES,
  MAX_SEGMENT_BYTES,
  MAX_SUMMARY_IDS,
  segmentsOf,
} from './provider-summary.ts'
import { MAX_DELTA_IDS } from './provider-view.ts'
import {
  MAX_OFFER_BYTES,
  RECORD_FIELD_BYTES,
  SENDER_BYTES,
  SLACK_BYTES,
  decodeOffer,
  encodeOffer,
  keyMessage,
  read,
  readKey,
  readRecord,
  readSender,
  writeOptional,
  writeSender,
  type RecordOffer,
  type Sender,
} from './wire.ts'

// docs/records.cddl has the layout of every message here. Each ends with an extension map.

/** Most announcements of one answer. */
export const MAX_PROVIDERS_ANSWERED = 16
/** Most segments of one answer. */
export const MAX_SEGMENTS_ANSWERED = 16
const MAX_SEGMENTS = segmentsOf(MAX_SUMMARY_IDS)

/** What became of an announcement. One that fails verification is answered with the error `RECORD_INVALID`. */
export type PutProviderOutcome = (typeof OUTCOMES)[number]
const OUTCOMES = ['stored', 'keyWanted', 'stale', 'full'] as const

/** I have children of this root: a record of kind `PROVIDER`, and the sender's own. */
export const putProvider: MessageType<RecordOffer, PutProviderOutcome> = {
  name: 'dht.putProvider',
  protocol: 0x0110,
  trafficClass: 'request',
  isIdempotent: false,
  maxRequestBytes: MAX_OFFER_BYTES,
  maxResponseBytes: SLACK_BYTES,
  encodeRequest: encodeOffer,
  decodeRequest: (bytes) => decodeOffer(bytes, 'putProvider request'),
  encodeResponse: (outcome) =>
    new CborWriter().array(2).uint(OUTCOMES.indexOf(outcome)).extensions().finish(),
  decodeResponse: (bytes) =>
    read(
      bytes,
      { maxBytes: putProvider.maxResponseBytes, what: 'putProvider answer', items: 2 },
      (reader) => OUTCOMES[reader.uint(OUTCOMES.length - 1)] ?? 'full',
    ),
}

export interface GetProvidersRequest {
  readonly sender: Sender
  /** Of the root. */
  readonly key: Key
  /** Only those behind this one, in the order of the texts of their ids. */
  readonly after: NodeId | undefined
}

export interface GetProvidersResponse {
  /** At most {@link MAX_PROVIDERS_ANSWERED}. */
  readonly records: readonly SignedRecord[]
  /** Whether there are others behind these. */
  readonly hasMore: boolean
  /** The peers nearest to the key, as `findNode` gives them. */
  readonly peers: readonly Peer[]
}

/** Who has children of this root, with the peers nearest to its key. */
export const getProviders: MessageType<GetProvidersRequest, GetProvidersResponse> = {
  name: 'dht.getProviders',
  protocol: 0x0111,
  trafficClass: 'request',
  isIdempotent: true,
  maxRequestBytes: SENDER_BYTES + 68 + SLACK_BYTES,
  maxResponseBytes: MAX_PROVIDERS_ANSWERED * RECORD_FIELD_BYTES + MAX_PEERS_BYTES + SLACK_BYTES,
  encodeRequest: ({ sender, key, after }) => {
    const writer = new CborWriter().array(4)
    writeSender(writer, sender)
    writer.bytes(key)
    if (after === undefined) writer.none()
    else writeNodeId(writer, after)
    return writer.extensions().finish()
  },
  decodeRequest: (bytes) =>
    read(
      bytes,
      { maxBytes: getProviders.maxRequestBytes, what: 'getProviders request', items: 4 },
      (reader) => ({
        sender: readSender(reader),
        key: readKey(reader),
        after: reader.none() ? undefined : readNodeId(reader),
      }),
    ),
  encodeResponse: ({ records, hasMore, peers }) => {
    const writer = new CborWriter().array(4).array(records.length)
    for (const record of records) writer.bytes(encodeRecord(record))
    writer.bool(hasMore)
    writePeers(writer, peers)
    return writer.extensions().finish()
  },
  decodeResponse: (bytes) =>
    read(
      bytes,
      { maxBytes: getProviders.maxResponseBytes, what: 'getProviders answer', items: 4 },
      (reader) => ({
        records: Array.from({ length: reader.arrayUpTo(MAX_PROVIDERS_ANSWERED) }, () => readRecord(reader)),
        hasMore: reader.bool(),
        peers: readPeers(reader),
      }),
    ),
}

/** Forget my announcement of the root of this key. The handshake says whose; the answer, whether there was one. */
export const removeProvider = keyMessage('removeProvider', 0x0112)

export interface GetSummaryRequest {
  readonly root: Uint8Array
  /** The one that the reader knows. */
  readonly epoch: number
  readonly wantsIndex: boolean
  /** First segment and number of segments; none for 0. */
  readonly segments: { readonly from: number; readonly count: number }
  /** Added ids that the reader has already. */
  readonly addedFrom: number
  /** Whether the current record is wanted too. */
  readonly wantsRecord: boolean
}

/** `moved`: the record of another epoch comes instead. `none`: nothing of this root is announced. */
export type GetSummaryResponse =
  | {
      readonly kind: 'summary'
      readonly index: Uint8Array | undefined
      readonly segments: readonly Uint8Array[]
      readonly added: readonly Uint8Array[]
      readonly record: SignedRecord | undefined
    }
  | { readonly kind: 'moved'; readonly record: SignedRecord }
  | { readonly kind: 'none' }

const KINDS = ['summary', 'moved', 'none'] as const

/** Parts of the answerer's own summary of a root. */
export const getSummary: MessageType<GetSummaryRequest, GetSummaryResponse> = {
  name: 'dht.getSummary',
  protocol: 0x0113,
  trafficClass: 'request',
  isIdempotent: true,
  maxRequestBytes: 128,
  maxResponseBytes:
    MAX_SEGMENTS * INDEX_ENTRY_BYTES +
    MAX_SEGMENTS_ANSWERED * (MAX_SEGMENT_BYTES + 3) +
    MAX_DELTA_IDS * ID_BYTES +
    RECORD_FIELD_BYTES +
    SLACK_BYTES,
  encodeRequest: ({ root, epoch, wantsIndex, segments, addedFrom, wantsRecord }) =>
    new CborWriter()
      .array(8)
      .bytes(root)
      .uint(epoch)
      .bool(wantsIndex)
      .uint(segments.from)
      .uint(segments.count)
      .uint(addedFrom)
      .bool(wantsRecord)
      .extensions()
      .finish(),
  decodeRequest: (bytes) =>
    read(bytes, { maxBytes: getSummary.maxRequestBytes, what: 'getSummary request', items: 8 }, (reader) => ({
      root: reader.bytes(ID_BYTES),
      epoch: reader.uint(),
      wantsIndex: reader.bool(),
      segments: { from: reader.uint(MAX_SEGMENTS - 1), count: reader.uint(MAX_SEGMENTS_ANSWERED) },
      addedFrom: reader.uint(MAX_DELTA_IDS),
      wantsRecord: reader.bool(),
    })),
  encodeResponse: (answer) => {
    const writer = new CborWriter().array(6).uint(KINDS.indexOf(answer.kind))
    const { index, segments, added } = answer.kind === 'summary' ? answer : NOTHING
    writeOptional(writer, index)
    writer.array(segments.length)
    for (const segment of segments) writer.bytes(segment)
    writer.array(added.length)
    for (const id of added) writer.bytes(id)
    const record = answer.kind === 'none' ? undefined : answer.record
    writeOptional(writer, record === undefined ? undefined : encodeRecord(record))
    return writer.extensions().finish()
  },
  decodeResponse: (bytes) =>
    read(bytes, { maxBytes: getSummary.maxResponseBytes, what: 'getSummary answer', items: 6 }, readSummary),
}

const NOTHING = { index: undefined, segments: [], added: [] }

export interface GiveReceiptsRequest {
  /** 1 to {@link MAX_RECEIPTS}. */
  readonly receipts: readonly Receipt[]
  readonly proof: ReceiptProof
  /** The reader's, with a signature; may be left out when the provider has it already. */
  readonly publicKey: Uint8Array | undefined
}

/** How many receipts counted; `keyWanted`: send again with the public key. */
export type GiveReceiptsOutcome =
  { readonly kind: 'taken'; readonly count: number } | { readonly kind: 'keyWanted' }

/** You delivered this. Receipts whose signature is wrong are answered with the error `RECORD_INVALID`. */
export const giveReceipts: MessageType<GiveReceiptsRequest, GiveReceiptsOutcome> = {
  name: 'dht.giveReceipts',
  protocol: 0x0114,
  trafficClass: 'request',
  isIdempotent: false,
  maxRequestBytes: MAX_RECEIPTS * 96 + SIGNATURE_BYTES + PUBLIC_KEY_BYTES + SLACK_BYTES,
  maxResponseBytes: SLACK_BYTES,
  encodeRequest: ({ receipts, proof, publicKey }) => {
    const writer = new CborWriter().array(4).array(receipts.length)
    for (const [at, { root, epoch, window, chunks }] of receipts.entries()) {
      writer.array(5).bytes(root).uint(epoch).uint(window).uint(chunks)
      writeOptional(writer, proof.kind === 'pseudonym' ? proof.tags[at] : undefined)
    }
    writeOptional(writer, proof.kind === 'signed' ? proof.signature : undefined)
    writeOptional(writer, publicKey)
    return writer.extensions().finish()
  },
  decodeRequest: (bytes) =>
    read(
      bytes,
      { maxBytes: giveReceipts.maxRequestBytes, what: 'giveReceipts request', items: 4 },
      readReceipts,
    ),
  encodeResponse: (outcome) =>
    new CborWriter()
      .array(3)
      .bool(outcome.kind === 'keyWanted')
      .uint(outcome.kind === 'taken' ? outcome.count : 0)
      .extensions()
      .finish(),
  decodeResponse: (bytes) =>
    read(
      bytes,
      { maxBytes: giveReceipts.maxResponseBytes, what: 'giveReceipts answer', items: 3 },
      (reader) => {
        const isKeyWanted = reader.bool()
        const count = reader.uint(isKeyWanted ? 0 : MAX_RECEIPTS)
        return isKeyWanted ? { kind: 'keyWanted' as const } : { kind: 'taken' as const, count }
      },
    ),
}

function readSummary(reader: CborReader): GetSummaryResponse {
  const kind = KINDS[reader.uint(KINDS.length - 1)]
  const index = reader.none()
    ? undefined
    : reader.bytesUpTo(MAX_SEGMENTS * INDEX_ENTRY_BYTES, INDEX_ENTRY_BYTES)
  const segments = Array.from({ length: reader.arrayUpTo(MAX_SEGMENTS_ANSWERED) }, () =>
    reader.bytesUpTo(MAX_SEGMENT_BYTES),
  )
  const added = Array.from({ length: reader.arrayUpTo(MAX_DELTA_IDS) }, () => reader.bytes(ID_BYTES))
  const record = reader.none() ? undefined : readRecord(reader)
  if (kind === 'summary') return { kind, index, segments, added, record }
  const isEmpty = index === undefined && segments.length === 0 && added.length === 0
  if (kind === 'moved' && isEmpty && record !== undefined) return { kind, record }
  if (kind === 'none' && isEmpty && record === undefined) return { kind }
  throw violation('getSummary answer: kind and content do not fit')
}

function readReceipts(reader: CborReader): GiveReceiptsRequest {
  const items = Array.from({ length: reader.arrayUpTo(MAX_RECEIPTS, 1) }, () => {
    reader.array(5)
    const root = reader.bytes(ID_BYTES)
    const receipt = {
      root,
      epoch: reader.uint(),
      window: reader.uint(),
      chunks: reader.uint(MAX_RECEIPT_CHUNKS),
    }
    return { receipt, tag: reader.none() ? undefined : reader.bytes(ID_BYTES) }
  })
  const signature = reader.none() ? undefined : reader.bytes(SIGNATURE_BYTES)
  const publicKey = reader.none() ? undefined : reader.bytes(PUBLIC_KEY_BYTES)
  const receipts = items.map(({ receipt }) => receipt)
  const tags = items.flatMap(({ tag }) => (tag === undefined ? [] : [tag]))
  if (receipts.some(({ chunks }) => chunks === 0))
    throw violation('giveReceipts request: a receipt of nothing')
  if (signature !== undefined && tags.length === 0)
    return { receipts, proof: { kind: 'signed', signature }, publicKey }
  const isPseudonymous = signature === undefined && publicKey === undefined && tags.length === receipts.length
  if (!isPseudonymous) throw violation('giveReceipts request: neither signed nor all under names')
  return { receipts, proof: { kind: 'pseudonym', tags }, publicKey: undefined }
}

function violation(message: string): EspalierError {
  return new EspalierError('PROTOCOL_VIOLATION', message)
}
