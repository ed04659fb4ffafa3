import type { Env } from '../base/env.ts'
import type { Timer } from '../base/clock.ts'
import { toEspalierError, type ErrorCode } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Caller, RpcPort } from '../net/rpc-port.ts'
import type { ByteStream } from '../net/transport.ts'
import type { ShardHeader, ShardStore } from '../storage/store.ts'
import { ByteBudget } from './byte-budget.ts'
import { FrameStream } from './frame-stream.ts'
import { MAX_LEASE_MS } from './options.ts'
import { Watchdog } from './watchdog.ts'
import * as wire from './wire.ts'

/** Streams that one peer may have open: one for each object that it is storing or reading. */
const MAX_STREAMS_PER_PEER = 256
/** Streams of all peers together. */
const MAX_STREAMS = 4096
/** Shards of one put stream that may wait for the disk while the next ones arrive. */
const MAX_UNANSWERED = 4
/** Bytes of shards that wait to be sent: for one peer, so that a few that stall keep nobody else waiting… */
const MAX_PEER_MEMORY_BYTES = 8 * 1024 * 1024
/** …and for all. */
const MAX_MEMORY_BYTES = 64 * 1024 * 1024
/** A peer that moves no byte for so long gives its stream back. */
const IDLE_MS = 60_000
/** Difference of the clocks that a lease forgives. */
const MAX_SKEW_MS = 5 * 60_000
const SWEEP_MS = 10 * 60_000

/** Keeps shards for others: serves both kinds of stream from the shard store. */
export class ShardHolder {
  readonly #rpc: RpcPort
  readonly #env: Env
  readonly #shards: ShardStore
  /** Peers with open streams. Bounded by MAX_STREAMS. */
  readonly #visitors = new Map<NodeId, Visitor>()
  #openCount = 0
  readonly #memory = new ByteBudget(MAX_MEMORY_BYTES)
  #sweep: Timer | undefined
  #isStopped = false

  constructor(deps: { readonly rpc: RpcPort; readonly env: Env; readonly shards: ShardStore }) {
    this.#rpc = deps.rpc
    this.#env = deps.env
    this.#shards = deps.shards
  }

  start(): void {
    this.#rpc.handleStream(wire.PUT_SHARDS, (stream, caller) =>
      this.#serve(stream, caller, (frames) => this.#takeShards(frames)),
    )
    this.#rpc.handleStream(wire.GET_SHARDS, (stream, caller) =>
      this.#serve(stream, caller, (frames, visitor) => this.#giveShards(frames, visitor)),
    )
    this.#scheduleSweep()
  }

  stop(): void {
    this.#isStopped = true
    this.#sweep?.cancel()
    for (const { streams } of this.#visitors.values()) {
      for (const stream of streams) stream.reset(wire.RESET.done)
    }
  }

  async #serve(
    stream: ByteStream,
    caller: Caller,
    use: (frames: FrameStream, visitor: Visitor) => Promise<void>,
  ): Promise<void> {
    const visitor = this.#visitors.get(caller.id) ?? new Visitor()
    const { streams } = visitor
    if (this.#isStopped || streams.size >= MAX_STREAMS_PER_PEER || this.#openCount >= MAX_STREAMS) {
      stream.reset(wire.RESET.busy)
      return
    }
    this.#visitors.set(caller.id, visitor)
    streams.add(stream)
    this.#openCount += 1
    const watchdog = new Watchdog(this.#env.clock, {
      limitMs: IDLE_MS,
      onStalled: () => stream.reset(wire.RESET.stalled),
    })
    try {
      await use(new FrameStream(stream, () => watchdog.touch()), visitor)
      await stream.closeWrite()
    } catch (error) {
      const { code, message } = toEspalierError(error, 'STREAM_RESET', 'serving a stream')
      stream.reset(code === 'PROTOCOL_VIOLATION' ? wire.RESET.violation : wire.RESET.done)
      this.#env.log.debug('a shard stream ended', { peer: caller.id, code, message })
    } finally {
      watchdog.stop()
      streams.delete(stream)
      if (streams.size === 0) this.#visitors.delete(caller.id)
      this.#openCount -= 1
    }
  }

  async #takeShards(frames: FrameStream): Promise<void> {
    /** Bounded by MAX_UNANSWERED. */
    const unanswered: Promise<void>[] = []
    let previous: Promise<void> = Promise.resolve()
    for (let frame = await frames.readFrame(); frame !== undefined; frame = await frames.readFrame()) {
      const header = wire.decodePutHeader(frame)
      const { isTaken, isStored } = this.#take(header, frames)
      // Answers keep the order of the shards; the next shard is read while this one goes to disk.
      previous = Promise.all([isStored, previous]).then(([code]) => frames.write(wire.encodePutAnswer(code)))
      previous.catch(() => undefined)
      unanswered.push(previous)
      await isTaken
      if (unanswered.length >= MAX_UNANSWERED) await unanswered.shift()
    }
    await previous
  }

  /** Takes one shard off the stream whatever comes of it, so that the next frame is found where it belongs. */
  #take(
    header: ShardHeader,
    frames: FrameStream,
  ): { readonly isTaken: Promise<void>; readonly isStored: Promise<ErrorCode | undefined> } {
    const pieces = frames.readPieces(header.sizeBytes)
    const refusal = this.#refusalOf(header)
    if (refusal !== undefined) return { isTaken: drain(pieces), isStored: Promise.resolve(refusal) }
    const arrival = new Arrival(pieces)
    const isStored = this.#shards.put(header, arrival).then(
      () => undefined,
      (error: unknown) => toEspalierError(error, 'PEER_REFUSED', 'storing a shard').code,
    )
    return { isTaken: arrival.isOver(isStored), isStored }
  }

  #refusalOf(header: ShardHeader): ErrorCode | undefined {
    const leftMs = header.expiresUnixMs - this.#env.clock.unixMs()
    if (leftMs <= 0 || leftMs > MAX_LEASE_MS + MAX_SKEW_MS) return 'INVALID_ARGUMENT'
    return undefined
  }

  async #giveShards(frames: FrameStream, visitor: Visitor): Promise<void> {
    for (let frame = await frames.readFrame(); frame !== undefined; frame = await frames.readFrame()) {
      const request = wire.decodeGetRequest(frame)
      const releasePeer = await visitor.memory.take(request.maxBytes)
      const release = await this.#memory.take(request.maxBytes)
      try {
        const found = await this.#find(request)
        if (found instanceof Uint8Array) {
          await frames.write(wire.encodeGetAnswer({ sizeBytes: found.byteLength }))
          await frames.write(found)
        } else {
          await frames.write(wire.encodeGetAnswer({ code: found }))
        }
      } finally {
        release()
        releasePeer()
      }
    }
  }

  async #find(request: wire.ShardRequest): Promise<Uint8Array | ErrorCode> {
    try {
      const bytes = await this.#shards.read(request.id)
      if (bytes === undefined) return 'NOT_FOUND'
      return bytes.byteLength > request.maxBytes ? 'VALUE_TOO_LARGE' : bytes
    } catch (error) {
      const { code, message } = toEspalierError(error, 'STORAGE_CORRUPT', 'reading a shard')
      this.#env.log.warn('a shard cannot be read', { code, message })
      return code
    }
  }

  #scheduleSweep(): void {
    // Spread by a quarter, so that nodes started together don't sweep together.
    const delayMs = SWEEP_MS * (0.75 + 0.5 * this.#env.rng.float())
    this.#sweep = this.#env.clock.setTimer(delayMs, () => {
      this.#shards.removeExpired().catch((error: unknown) => {
        const { code, message } = toEspalierError(error, 'STORAGE_CORRUPT', 'removing expired shards')
        this.#env.log.warn('expired shards stay', { code, message })
      })
      this.#scheduleSweep()
    })
  }
}

/** One peer's share of this holder. */
class Visitor {
  /** Bounded by MAX_STREAMS_PER_PEER. */
  readonly streams = new Set<ByteStream>()
  readonly memory = new ByteBudget(MAX_PEER_MEMORY_BYTES)
}

/** The bytes of one shard as they arrive, and the knowledge when the last has been read off the stream. */
class Arrival implements AsyncIterable<Uint8Array> {
  readonly #pieces: AsyncGenerator<Uint8Array, void, undefined>
  readonly #isConsumed: Promise<void>
  #onConsumed: () => void = () => undefined
  #failure: { readonly error: unknown } | undefined

  constructor(pieces: AsyncGenerator<Uint8Array, void, undefined>) {
    this.#pieces = pieces
    this.#isConsumed = new Promise((resolve) => (this.#onConsumed = resolve))
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      // Not `for await`: a store that leaves early must not close what is drained afterwards.
      for (let next = await this.#pieces.next(); next.done !== true; next = await this.#pieces.next()) {
        yield next.value
      }
      this.#onConsumed()
    } catch (error) {
      this.#failure = { error }
      this.#onConsumed()
      throw error
    }
  }

  /** Waits until all bytes were read, by the store or, when it needs no more of them, by nobody. */
  async isOver(isStored: Promise<unknown>): Promise<void> {
    await Promise.race([this.#isConsumed, isStored])
    if (this.#failure === undefined) await drain(this.#pieces)
    else throw this.#failure.error
  }
}

async function drain(pieces: AsyncGenerator<Uint8Array, void, undefined>): Promise<void> {
  for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
    // Thrown away: the refusal travels back instead.
  }
}
