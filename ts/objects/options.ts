import type { Env } from '../base/env.ts'
import type { NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { CallOptions } from '../net/transport.ts'
import type { decodeSegment, encodeSegment } from '../native/segment.ts'
import type { ShardLayout } from '../placement/layout.ts'
import type { ShardStore, Store } from '../storage/store.ts'

/** Where the holders of an object are told; the directory that `publish` and `find` keep. */
export interface ObjectPointer {
  /** BLAKE3 of the manifest, 32 bytes. */
  readonly root: Uint8Array
  /** At most 12, by shard index. All keep the manifest. */
  readonly holders: readonly NodeId[]
  readonly expiresUnixMs: number
}

/** What the service is made of. */
export interface ObjectsDeps {
  readonly rpc: RpcPort
  readonly env: Env
  readonly store: Store
  /** Missing on a client, which keeps nothing for others. */
  readonly shards: ShardStore | undefined
  /** Nodes known alive that keep data for others, this node among them when it does. */
  readonly eligible: () => readonly NodeId[]
  readonly publish: (pointer: ObjectPointer, options?: CallOptions) => Promise<unknown>
  readonly find: (
    query: { readonly root: Uint8Array; readonly owner: NodeId },
    options?: CallOptions,
  ) => Promise<ObjectPointer | undefined>
  /** Looks up a holder whose addresses the book lacks. Default: such a holder counts as unreachable. */
  readonly locate?: (id: NodeId, options: CallOptions) => Promise<readonly Address[]>
  /** The coder of segments. Default: the native one. */
  readonly coder?: { readonly encode: typeof encodeSegment; readonly decode: typeof decodeSegment }
}

/** Times and sizes of the service. Every one has a default. */
export interface ObjectsOptions {
  /** How long holders keep an object, 1 minute to 30 days. Default 30 days. */
  readonly leaseMs?: number
  /** Plaintext of a segment, 4,096 to 4,194,288 bytes: the unit of memory and of transfer. Default the largest. */
  readonly segmentBytes?: number
  /** Finding, dialling and opening a stream to one holder. Default 5,000 ms. */
  readonly dialTimeoutMs?: number
  /** A holder that moves no byte for this long, while it should, has failed. Default 15,000 ms. */
  readonly stallTimeoutMs?: number
  /** A segment that takes longer asks one more holder. Default 2,000 ms. */
  readonly hedgeMs?: number
}

/**
 * What has been done of what there is to do.
 *
 * @category Objects
 */
export interface Progress {
  readonly doneBytes: number
  /** Unknown while a stream is stored. */
  readonly totalBytes?: number
}

/**
 * How to store or read an object.
 *
 * @category Objects
 */
export interface TransferOptions {
  /** Ends the transfer with `ABORTED`. */
  readonly signal?: AbortSignal
  /** Ends it with `TIMEOUT` when nothing moves for so long, 1 to 86,400,000 ms. Default: no limit beside those of each holder. */
  readonly timeoutMs?: number
  /** Called after every segment. What it throws ends the transfer. */
  readonly onProgress?: (progress: Progress) => void
}

/**
 * How to store an object.
 *
 * @category Objects
 */
export type PutOptions = TransferOptions

/**
 * How to read an object.
 *
 * @category Objects
 */
export interface GetOptions extends TransferOptions {
  /** Only these bytes; an end beyond the object's is the object's. Default: all. */
  readonly range?: { readonly start: number; readonly length?: number }
}

/**
 * How to read an object into memory.
 *
 * @category Objects
 */
export interface GetBytesOptions extends GetOptions {
  /** A longer object, or range of it, is `VALUE_TOO_LARGE`. Default 268,435,456. */
  readonly maxBytes?: number
}

/**
 * What was stored, and where.
 *
 * @category Objects
 */
export interface PutResult {
  /** Reads the object; without the part after the last colon it can only be checked. */
  readonly ref: string
  /** BLAKE3 of the manifest in base32. */
  readonly root: string
  readonly sizeBytes: number
  readonly layout: ShardLayout
  /** Who acknowledged what after it was on disk, by shard index. */
  readonly holders: readonly StoredOn[]
  /** Until when the holders keep it. */
  readonly expiresUnixMs: number
  /** Why the layout is smaller than the full profile, when it is. */
  readonly reduced?: string
}

/**
 * One node's part of a stored object.
 *
 * @category Objects
 */
export interface StoredOn {
  readonly nodeId: NodeId
  readonly shardIndex: number
  /** Shards, one for each segment. */
  readonly shards: number
  readonly bytes: number
}

/** {@link ObjectsOptions} with every default filled in. */
export type CheckedOptions = Required<ObjectsOptions>

/** The longest time that a holder promises to keep a shard: 30 days. */
export const MAX_LEASE_MS = 30 * 24 * 3_600_000
