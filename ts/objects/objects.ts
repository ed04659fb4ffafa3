import { encodeBase32 } from '../base/base32.ts'
import { EspalierError } from '../base/error.ts'
import { checkPath } from '../native/check.ts'
import { decodeSegment, encodeSegment } from '../native/segment.ts'
import { parseReadReference } from './capability.ts'
import {
  checkGet,
  checkGetBytes,
  checkPut,
  checkService,
  type CheckedGet,
  type CheckedPut,
} from './check-options.ts'
import { writeWhole } from './file-target.ts'
import { ObjectReader, type OpenObject } from './get.ts'
import { ShardHolder } from './holder.ts'
import type { Operation } from './operation.ts'
import {
  type CheckedOptions,
  type GetBytesOptions,
  type GetOptions,
  type ObjectsDeps,
  type ObjectsOptions,
  type PutOptions,
  type PutResult,
} from './options.ts'
import { ObjectWriter } from './put.ts'
import { fileSource, sourceOf, type ObjectSource, type SegmentSource } from './source.ts'
import { Transfers } from './transfers.ts'

/**
 * Objects of any size on the network: encrypted, erasure-coded, checked by hash. Memory is bounded by
 * segments of 4 MiB whatever the size of the object; bytes that are given as one array are copied first.
 *
 * @category Objects
 */
export class Objects {
  readonly #deps: ObjectsDeps & { readonly coder: NonNullable<ObjectsDeps['coder']> }
  readonly #options: CheckedOptions
  readonly #holder: ShardHolder | undefined
  readonly #puts: Transfers
  readonly #gets: Transfers
  /** Transfers under way. Bounded by the caller's. */
  readonly #running = new Set<Operation>()
  #phase: 'new' | 'running' | 'stopped' = 'new'

  /** Throws `INVALID_ARGUMENT` for an option that is unknown or out of range. */
  constructor(deps: ObjectsDeps, options: ObjectsOptions = {}) {
    this.#deps = { ...deps, coder: deps.coder ?? { encode: encodeSegment, decode: decodeSegment } }
    this.#options = checkService(options)
    const { rpc, env, shards } = deps
    this.#puts = new Transfers(env, 'put')
    this.#gets = new Transfers(env, 'get')
    if (shards !== undefined) this.#holder = new ShardHolder({ rpc, env, shards })
  }

  /** Begins to keep shards for others, where this node has a shard store. */
  start(): Promise<void> {
    if (this.#phase !== 'new') throw new EspalierError('INVALID_STATE', 'objects were started before')
    this.#phase = 'running'
    this.#holder?.start()
    return Promise.resolve()
  }

  /** Ends every transfer with `CLOSED`. Idempotent. */
  stop(): Promise<void> {
    this.#phase = 'stopped'
    this.#holder?.stop()
    for (const operation of this.#running) operation.fail(closed())
    this.#running.clear()
    return Promise.resolve()
  }

  /**
   * Stores bytes or a stream and resolves when every segment has at least all data and half of the parity
   * shards on the disks of their holders, and the object can be found. Holders that fail are replaced.
   * What a source throws rejects with that. Codes: `PLACEMENT_IMPOSSIBLE` (no node keeps data),
   * `QUORUM_FAILED` (details: stored, needed), `VALUE_TOO_LARGE` (over about 5.5 TiB), `ABORTED`, `TIMEOUT`,
   * `CLOSED`, `INVALID_ARGUMENT`. After a failure nothing is published; shards that were already placed
   * expire with their lease.
   *
   * @example
   * ```ts
   * import { localNetwork } from 'espalier/testing'
   *
   * const network = await localNetwork(3)
   * const { ref, layout } = await network.nodes[0]!.objects.put(Buffer.from('an apple tree'))
   * console.log(ref.startsWith('espalier:'), layout) // true { dataShards: 2, parityShards: 1 }
   * await network.stop()
   * ```
   */
  async put(data: ObjectSource, options: PutOptions = {}): Promise<PutResult> {
    this.#checkRunning()
    const call = checkPut(options)
    return this.#put(sourceOf(data, this.#options.segmentBytes), call)
  }

  /** As {@link put}, from a file. `INVALID_ARGUMENT` when it cannot be read. */
  async putFile(path: string, options: PutOptions = {}): Promise<PutResult> {
    this.#checkRunning()
    const call = checkPut(options)
    return this.#put(await fileSource(checkPath(path), this.#options.segmentBytes), call)
  }

  /**
   * The object's bytes in order, every shard checked by its hash before it is used. Resolves when the object
   * was found and its manifest checked; leaving the iteration early ends the transfer. Codes, here or
   * while iterating: `NOT_FOUND`, `SHARDS_MISSING` (details: found, needed), `RECORD_INVALID`,
   * `SIGNATURE_INVALID`, `DECRYPT_FAILED`, `ABORTED`, `TIMEOUT`, `CLOSED`, `INVALID_ARGUMENT`.
   *
   * @example
   * ```ts
   * import { localNetwork } from 'espalier/testing'
   *
   * const network = await localNetwork(3)
   * const [alice, bob] = network.nodes
   * const { ref } = await alice!.objects.put(new Uint8Array(5_000_000))
   * let sizeBytes = 0
   * for await (const piece of await bob!.objects.get(ref, { range: { start: 4_000_000 } })) {
   *   sizeBytes += piece.byteLength
   * }
   * console.log(sizeBytes) // 1000000
   * await network.stop()
   * ```
   */
  async get(ref: string, options: GetOptions = {}): Promise<AsyncIterable<Uint8Array>> {
    const call = checkGet(options)
    return (await this.#open(ref, call)).chunks
  }

  /**
   * The whole object in memory. Codes: those of {@link get}, and `VALUE_TOO_LARGE` before anything is read.
   *
   * @example
   * ```ts
   * import { EspalierError } from 'espalier'
   * import { localNetwork } from 'espalier/testing'
   *
   * const network = await localNetwork(3)
   * const [alice, bob] = network.nodes
   * const { ref } = await alice!.objects.put(Buffer.from('an apple tree'))
   * console.log(Buffer.from(await bob!.objects.getBytes(ref)).toString()) // an apple tree
   *
   * const code = await bob!.objects.getBytes(ref, { maxBytes: 5 }).catch((error) => {
   *   if (error instanceof EspalierError) return error.code
   *   throw error
   * })
   * console.log(code) // VALUE_TOO_LARGE
   * await network.stop()
   * ```
   */
  async getBytes(ref: string, options: GetBytesOptions = {}): Promise<Uint8Array> {
    const { maxBytes, ...call } = checkGetBytes(options)
    const { range, chunks, abandon } = await this.#open(ref, call)
    if (range.length > maxBytes) {
      abandon()
      throw new EspalierError('VALUE_TOO_LARGE', `${range.length} bytes, at most ${maxBytes} are allowed`, {
        details: { sizeBytes: range.length, maxBytes },
      })
    }
    const bytes = new Uint8Array(range.length)
    let at = 0
    for await (const chunk of chunks) {
      bytes.set(chunk, at)
      at += chunk.byteLength
    }
    return bytes
  }

  /**
   * Reads into a file, which appears under its name only when it is whole and on disk; an existing one is
   * replaced then. Codes: those of {@link get}, `STORAGE_FULL`, `INVALID_ARGUMENT` when it cannot be written.
   */
  async getToFile(
    ref: string,
    path: string,
    options: GetOptions = {},
  ): Promise<{ readonly sizeBytes: number }> {
    const call = checkGet(options)
    const target = checkPath(path)
    const { range, chunks } = await this.#open(ref, call)
    await writeWhole(target, chunks, { suffix: encodeBase32(this.#deps.env.rng.bytes(5)) })
    return { sizeBytes: range.length }
  }

  async #put(source: SegmentSource, call: CheckedPut): Promise<PutResult> {
    const ended = this.#puts.begin()
    try {
      const result = await this.#write(source, call)
      ended(undefined)
      return result
    } catch (error) {
      ended({ error })
      throw error
    }
  }

  async #write(source: SegmentSource, call: CheckedPut): Promise<PutResult> {
    let writer: ObjectWriter
    try {
      this.#checkRunning()
      const onStored = (bytes: number): void => this.#puts.moved(bytes)
      writer = new ObjectWriter(this.#deps, { options: this.#options, source, call, onStored })
    } catch (error) {
      await source.close()
      throw error
    }
    this.#running.add(writer.operation)
    try {
      return await writer.run()
    } finally {
      this.#running.delete(writer.operation)
    }
  }

  async #open(ref: string, call: CheckedGet): Promise<OpenObject & { readonly abandon: () => void }> {
    this.#checkRunning()
    const capability = parseReadReference(ref)
    const ended = this.#gets.begin()
    const onRead = (bytes: number): void => this.#gets.moved(bytes)
    const reader = new ObjectReader(this.#deps, { options: this.#options, capability, call, onRead })
    const { operation } = reader
    this.#running.add(operation)
    operation.onOver((failure) => {
      this.#running.delete(operation)
      ended(failure)
    })
    return { ...(await reader.open()), abandon: () => operation.finish() }
  }

  #checkRunning(): void {
    if (this.#phase === 'stopped') throw closed()
    if (this.#phase === 'new') throw new EspalierError('INVALID_STATE', 'objects are not started')
  }
}

function closed(): EspalierError {
  return new EspalierError('CLOSED', 'the node has been stopped')
}
