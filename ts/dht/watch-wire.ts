import { CborWriter, type CborReader } from '../base/codec.ts'
import { EspalierError } from '../base/error.ts'
import type { Key } from '../base/identity.ts'
import { encodeRecord, type SignedRecord } from '../base/record.ts'
import type { MessageType } from '../net/message.ts'
import {
  RECORD_FIELD_BYTES,
  SENDER_BYTES,
  SLACK_BYTES,
  decodeFlag,
  encodeFlag,
  keyMessage,
  read,
  readKey,
  readRecord,
  readSender,
  writeOptional,
  writeSender,
  type Sender,
} from './wire.ts'

// docs/records.cddl has the layout of every message here. Each ends with an extension map.

/** Longest time for which a node pushes the changes of a register without being asked again. */
export const MAX_LEASE_MS = 600_000

export interface LeaseRequest {
  readonly sender: Sender
  /** Of the register. */
  readonly key: Key
  /** For how long changes shall be pushed, 1 to {@link MAX_LEASE_MS}. */
  readonly leaseMs: number
  /** Hash of the body that the asker has, 32 bytes, if it has any. */
  readonly known: Uint8Array | undefined
}

export interface LeaseResponse {
  /** For how long changes will be pushed, 1 to {@link MAX_LEASE_MS}. */
  readonly leaseMs: number
  /** What the register says, when that is not what the asker has. */
  readonly record: SignedRecord | undefined
}

/**
 * Push me the changes of a register for a while; again, it begins anew. Refused with `LIMIT_EXCEEDED` by a node that
 * has no lease left.
 */
export const leaseRegister: MessageType<LeaseRequest, LeaseResponse> = {
  name: 'dht.leaseRegister',
  protocol: 0x0106,
  trafficClass: 'request',
  // Somebody who plays it again would have a node push to a watcher that has gone.
  isIdempotent: false,
  maxRequestBytes: SENDER_BYTES + 68 + SLACK_BYTES,
  maxResponseBytes: RECORD_FIELD_BYTES + SLACK_BYTES,
  encodeRequest: ({ sender, key, leaseMs, known }) => {
    const writer = new CborWriter().array(5)
    writeSender(writer, sender)
    writer.bytes(key).uint(leaseMs)
    writeOptional(writer, known)
    return writer.extensions().finish()
  },
  decodeRequest: (bytes) =>
    read(bytes, { maxBytes: leaseRegister.maxRequestBytes, what: 'lease request', items: 5 }, (reader) => ({
      sender: readSender(reader),
      key: readKey(reader),
      leaseMs: readLease(reader, 'lease request'),
      known: reader.none() ? undefined : reader.bytes(32),
    })),
  encodeResponse: ({ leaseMs, record }) => {
    const writer = new CborWriter().array(3).uint(leaseMs)
    writeOptional(writer, record === undefined ? undefined : encodeRecord(record))
    return writer.extensions().finish()
  },
  decodeResponse: (bytes) =>
    read(bytes, { maxBytes: leaseRegister.maxResponseBytes, what: 'lease answer', items: 3 }, (reader) => ({
      leaseMs: readLease(reader, 'lease answer'),
      record: reader.none() ? undefined : readRecord(reader),
    })),
}

/** Push me no more changes of a register; answers whether there was a lease. */
export const endLease = keyMessage('endLease', 0x0107)

export interface PushRequest {
  readonly sender: Sender
  readonly record: SignedRecord
}

/**
 * A register that the receiver watches has changed; answers whether that was new. Refused with `NOT_FOUND` by who has
 * no lease of the sender for it, with `RECORD_STALE` by who has a newer one, with `RECORD_INVALID` where it is not good.
 */
export const pushRegister: MessageType<PushRequest, boolean> = {
  name: 'dht.pushRegister',
  protocol: 0x0108,
  trafficClass: 'request',
  isIdempotent: false,
  maxRequestBytes: SENDER_BYTES + RECORD_FIELD_BYTES + SLACK_BYTES,
  maxResponseBytes: SLACK_BYTES,
  encodeRequest: ({ sender, record }) => {
    const writer = new CborWriter().array(3)
    writeSender(writer, sender)
    return writer.bytes(encodeRecord(record)).extensions().finish()
  },
  decodeRequest: (bytes) =>
    read(bytes, { maxBytes: pushRegister.maxRequestBytes, what: 'push request', items: 3 }, (reader) => ({
      sender: readSender(reader),
      record: readRecord(reader),
    })),
  encodeResponse: encodeFlag,
  decodeResponse: (bytes) => decodeFlag(bytes, 'push answer'),
}

function readLease(reader: CborReader, what: string): number {
  const leaseMs = reader.uint(MAX_LEASE_MS)
  if (leaseMs === 0) throw new EspalierError('PROTOCOL_VIOLATION', `${what}: a lease of no time`)
  return leaseMs
}
