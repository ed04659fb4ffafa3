import { equalBytes, toHex } from '../../../ts/base/bytes.ts'
import { systemClock } from '../../../ts/base/clock.ts'
import type { Env } from '../../../ts/base/env.ts'
import { EspalierError } from '../../../ts/base/error.ts'
import type { NodeId } from '../../../ts/base/identity.ts'
import { silentLog } from '../../../ts/base/log.ts'
import { Meter } from '../../../ts/base/metrics.ts'
import { nodeIdOf } from '../../../ts/base/record.ts'
import { systemRng } from '../../../ts/base/rng.ts'
import { deriveKey, hash } from '../../../ts/native/hash.ts'
import { SigningKey, verify } from '../../../ts/native/sign.ts'
import type { StreamType } from '../../../ts/net/message.ts'
import type { Caller, RpcPort } from '../../../ts/net/rpc-port.ts'
import type { ByteStream, CallOptions } from '../../../ts/net/transport.ts'
import { Objects } from '../../../ts/objects/objects.ts'
import type { ObjectPointer, ObjectsDeps, ObjectsOptions } from '../../../ts/objects/options.ts'
import { memoryStore } from '../../../ts/storage/memory.ts'
import type { ShardHeader, ShardStore } from '../../../ts/storage/store.ts'

const ADDRESS = { host: '127.0.0.1', port: 4840 }

type StreamHandler = (stream: ByteStream, caller: Caller) => Promise<void>

/** Nodes in one process: real signatures, hashes and coding, streams with back-pressure through memory. */
export class FakeNetwork {
  readonly nodes = new Map<NodeId, FakeNode>()
  readonly pointers = new Map<string, ObjectPointer & { readonly owner: NodeId }>()
  publishes = 0

  static async start(count: number, options: ObjectsOptions = {}): Promise<FakeNetwork> {
    const network = new FakeNetwork()
    for (let index = 0; index < count; index += 1) await network.addHolder(options)
    return network
  }

  async addHolder(options: ObjectsOptions = {}): Promise<FakeNode> {
    const node = new FakeNode(this, { shards: new MemoryShards(), options })
    this.nodes.set(node.id, node)
    await node.objects.start()
    return node
  }

  async client(options: ObjectsOptions = {}, deps: Partial<ObjectsDeps> = {}): Promise<FakeNode> {
    const node = new FakeNode(this, { shards: undefined, options, deps })
    await node.objects.start()
    return node
  }

  holder(id: string): FakeNode {
    const node = this.nodes.get(id as NodeId)
    if (node === undefined) throw new Error(`no node ${id}`)
    return node
  }

  kill(ids: readonly string[]): void {
    for (const id of ids) this.holder(id).kill()
  }

  revive(ids: readonly string[]): void {
    for (const id of ids) this.holder(id).isDead = false
  }
}

/** One node with its objects service. */
export class FakeNode {
  readonly id: NodeId
  readonly env: Env
  readonly shards: MemoryShards | undefined
  readonly objects: Objects
  isDead = false
  /** Whether a dial to this node, when dead, hangs until the dialler gives up. */
  isSilent = false
  /** Whether its address book holds everybody. */
  knowsAddresses = true
  /** The next dials that end with their connection. */
  brokenDials = 0
  /** Streams that were opened to this node, by protocol. */
  readonly opened: number[] = []
  /** Replaces the service's handlers: a hostile holder. */
  hostile: ((protocol: number, stream: ByteStream) => Promise<void>) | undefined
  readonly handlers = new Map<number, StreamHandler>()
  readonly #streams = new Set<FakeStream>()
  readonly #network: FakeNetwork

  constructor(
    network: FakeNetwork,
    from: {
      readonly shards: MemoryShards | undefined
      readonly options: ObjectsOptions
      readonly deps?: Partial<ObjectsDeps>
    },
  ) {
    const key = SigningKey.generate()
    const crypto = {
      publicKey: key.publicKey,
      sign: (message: Uint8Array) => key.sign(message),
      verify,
      hash,
      deriveKey: (context: string, material: Uint8Array) => deriveKey(context, material),
    }
    this.#network = network
    this.id = nodeIdOf(crypto, key.publicKey)
    this.env = { clock: systemClock, rng: systemRng, log: silentLog, metrics: new Meter(), crypto }
    this.shards = from.shards
    this.objects = new Objects(
      {
        rpc: this.#port(),
        env: this.env,
        store: memoryStore(),
        shards: from.shards,
        eligible: () => [...network.nodes.keys()],
        publish: (pointer) => {
          network.publishes += 1
          network.pointers.set(toHex(pointer.root), { ...pointer, owner: this.id })
          return Promise.resolve()
        },
        find: ({ root, owner }) => {
          const pointer = network.pointers.get(toHex(root))
          return Promise.resolve(pointer?.owner === owner ? pointer : undefined)
        },
        ...from.deps,
      },
      from.options,
    )
  }

  kill(): void {
    this.isDead = true
    for (const stream of this.#streams) stream.lose()
  }

  accept(type: StreamType, caller: NodeId): FakeStream {
    this.opened.push(type.protocol)
    const [near, far] = FakeStream.pair({ nearPeer: this.id, farPeer: caller })
    this.#streams.add(far)
    const handler = this.handlers.get(type.protocol)
    const signal = new AbortController().signal
    const serving =
      this.hostile === undefined
        ? handler?.(far, { id: caller, remote: ADDRESS, signal })
        : this.hostile(type.protocol, far)
    if (serving === undefined) far.reset(0)
    serving?.catch(() => far.reset(0))
    return near
  }

  #port(): RpcPort {
    const unused = (): never => {
      throw new Error('objects use streams only')
    }
    return {
      localId: this.id,
      request: unused,
      handle: unused,
      connect: unused,
      onPeer: unused,
      learn: unused,
      addressesOf: () => (this.knowsAddresses ? [ADDRESS] : []),
      handleStream: (type, handler) => void this.handlers.set(type.protocol, handler),
      openStream: (peer, type, options) => this.#dial(peer as NodeId, type, options),
    }
  }

  async #dial(peer: NodeId, type: StreamType, options?: CallOptions): Promise<ByteStream> {
    const node = this.#network.nodes.get(peer)
    if (node?.isDead === true && node.isSilent) {
      await new Promise((resolve) => setTimeout(resolve, options?.timeoutMs ?? 10_000))
      throw new EspalierError('TIMEOUT', 'no answer')
    }
    await Promise.resolve()
    if (node === undefined || node.isDead) throw new EspalierError('PEER_UNREACHABLE', 'gone')
    if (node.brokenDials > 0) {
      node.brokenDials -= 1
      throw new EspalierError('CONNECTION_LOST', 'both sides had dialled')
    }
    return node.accept(type, this.id)
  }
}

const WINDOW_BYTES = 131_072

/** One end of a stream in memory. A write waits while the other end has a window of bytes unread. */
class FakeStream implements ByteStream {
  readonly peer: NodeId
  /** What this end gave as its reason. */
  resetCode: number | undefined
  #other: FakeStream | undefined
  readonly #inbox: Uint8Array[] = []
  #inboxBytes = 0
  #isEnded = false
  #error: EspalierError | undefined
  #wake: (() => void)[] = []

  static pair(ids: { readonly nearPeer: NodeId; readonly farPeer: NodeId }): [FakeStream, FakeStream] {
    const near = new FakeStream(ids.nearPeer)
    const far = new FakeStream(ids.farPeer)
    near.#other = far
    far.#other = near
    return [near, far]
  }

  constructor(peer: NodeId) {
    this.peer = peer
  }

  async write(bytes: Uint8Array): Promise<void> {
    const other = this.#peer()
    this.#check()
    other.#inbox.push(bytes.slice())
    other.#inboxBytes += bytes.byteLength
    other.#notify()
    while (other.#inboxBytes > WINDOW_BYTES) {
      this.#check()
      await this.#change()
    }
    this.#check()
  }

  closeWrite(): Promise<void> {
    this.#peer().#isEnded = true
    this.#peer().#notify()
    return Promise.resolve()
  }

  async readInto(target: Uint8Array): Promise<number> {
    while (this.#inbox.length === 0) {
      this.#check()
      if (this.#isEnded) return 0
      await this.#change()
    }
    this.#check()
    const first = this.#inbox[0]!
    const count = Math.min(first.byteLength, target.byteLength)
    target.set(first.subarray(0, count))
    if (count === first.byteLength) this.#inbox.shift()
    else this.#inbox[0] = first.subarray(count)
    this.#inboxBytes -= count
    this.#peer().#notify()
    return count
  }

  reset(code: number): void {
    this.resetCode = code
    const error = new EspalierError('STREAM_RESET', 'reset')
    this.#fail(error)
    this.#peer().#fail(error)
  }

  /** The connection is gone. */
  lose(): void {
    const error = new EspalierError('CONNECTION_LOST', 'lost')
    this.#fail(error)
    this.#peer().#fail(error)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const target = new Uint8Array(65_536)
      const count = await this.readInto(target)
      if (count === 0) return
      yield target.subarray(0, count)
    }
  }

  #fail(error: EspalierError): void {
    this.#error ??= error
    this.#notify()
  }

  #check(): void {
    if (this.#error !== undefined) throw this.#error
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve))
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  #peer(): FakeStream {
    if (this.#other === undefined) throw new Error('not a pair')
    return this.#other
  }
}

/** Shards in memory, with the checks of the real store. */
export class MemoryShards implements ShardStore {
  readonly kept = new Map<string, { bytes: Uint8Array; expiresUnixMs: number }>()
  quotaBytes = Infinity
  reads = 0
  /** Holds back every put until it resolves. */
  gate: Promise<void> = Promise.resolve()

  usage(): { usedBytes: number; quotaBytes: number; shards: number } {
    const usedBytes = [...this.kept.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
    return { usedBytes, quotaBytes: this.quotaBytes, shards: this.kept.size }
  }

  async put(shard: ShardHeader, source: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.usage().usedBytes + shard.sizeBytes > this.quotaBytes) {
      throw new EspalierError('STORAGE_FULL', 'full')
    }
    const parts: Uint8Array[] = []
    for await (const part of source) parts.push(part.slice())
    const bytes = new Uint8Array(Buffer.concat(parts))
    await this.gate
    if (bytes.byteLength !== shard.sizeBytes || !equalBytes(hash(bytes), shard.id)) {
      throw new EspalierError('INVALID_ARGUMENT', 'other bytes')
    }
    this.kept.set(toHex(shard.id), { bytes, expiresUnixMs: shard.expiresUnixMs })
  }

  has(id: Uint8Array): Promise<boolean> {
    return Promise.resolve(this.kept.has(toHex(id)))
  }

  read(id: Uint8Array): Promise<Uint8Array | undefined> {
    this.reads += 1
    return Promise.resolve(this.kept.get(toHex(id))?.bytes)
  }

  delete(id: Uint8Array): Promise<boolean> {
    return Promise.resolve(this.kept.delete(toHex(id)))
  }

  removeExpired(): Promise<number> {
    return Promise.resolve(0)
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
