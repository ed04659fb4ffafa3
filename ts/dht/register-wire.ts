import { CborWriter } from '../base/codec.ts'
import type { Key } from '../base/identity.ts'
import { encodeRecord, type SignedRecord } from '../base/record.ts'
import type { MessageType } from '../net/message.ts'
import { MAX_SUPERSEDED } from './superseded.ts'
import {
  RECORD_FIELD_BYTES,
  SENDER_BYTES,
  SLACK_BYTES,
  read,
  readKey,
  readRecord,
  readSender,
  writeSender,
  type Sender,
} from './wire.ts'

// docs/records.cddl has the layout of every message here. Each ends with an extension map.

/** Records of one register that a node tells: what it says, and what it said before. */
export const MAX_HISTORY = MAX_SUPERSEDED + 1

export interface GetHistoryRequest {
  readonly sender: Sender
  readonly key: Key
  /** How many beside the newest, 0 to {@link MAX_SUPERSEDED}. */
  readonly earlier: number
}

/** The records of the register on a key that the answerer has, newest first: what it says, and what it said before. */
export const getHistory: MessageType<GetHistoryRequest, readonly SignedRecord[]> = {
  name: 'dht.getHistory',
  protocol: 0x0105,
  trafficClass: 'request',
  isIdempotent: true,
  maxRequestBytes: SENDER_BYTES + 34 + SLACK_BYTES,
  maxResponseBytes: MAX_HISTORY * RECORD_FIELD_BYTES + SLACK_BYTES,
  encodeRequest: ({ sender, key, earlier }) => {
    const writer = new CborWriter().array(4)
    writeSender(writer, sender)
    return writer.bytes(key).uint(earlier).extensions().finish()
  },
  decodeRequest: (bytes) =>
    read(bytes, { maxBytes: getHistory.maxRequestBytes, what: 'getHistory request', items: 4 }, (reader) => ({
      sender: readSender(reader),
      key: readKey(reader),
      earlier: reader.uint(MAX_SUPERSEDED),
    })),
  encodeResponse: (records) => {
    const writer = new CborWriter().array(2).array(records.length)
    for (const record of records) writer.bytes(encodeRecord(record))
    return writer.extensions().finish()
  },
  decodeResponse: (bytes) =>
    read(bytes, { maxBytes: getHistory.maxResponseBytes, what: 'getHistory answer', items: 2 }, (reader) =>
      Array.from({ length: reader.arrayUpTo(MAX_HISTORY) }, () => readRecord(reader)),
    ),
}
