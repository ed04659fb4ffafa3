import type { Env } from '../base/env.ts'
import { equalBytes } from '../base/bytes.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { StreamType } from '../net/message.ts'
import type { ShardHeader, ShardStore } from '../storage/store.ts'
import type { CheckedOptions, ObjectsDeps } from './options.ts'
import { Pipeline, Refusal } from './pipeline.ts'
import * as wire from './wire.ts'

/** What links are made of. */
export type LinkDeps = Pick<ObjectsDeps, 'rpc' | 'env' | 'shards' | 'locate'>

/** Where a writer puts shards: another node, or this one's own disk. */
export interface WriteLink {
  /** Resolves after the holder has it on disk. After one failure every call fails. */
  put(header: ShardHeader, bytes: Uint8Array): Promise<void>
  /** Whether the failure was an answer, so that what was acknowledged before is still there. */
  readonly isAlive: boolean
  end(error: EspalierError): void
}

/** Where a reader gets shards from. */
export interface ReadLink {
  open(): Promise<void>
  /** The bytes whose hash is `id`: exactly `exactBytes`, or up to `maxBytes`. A {@link Refusal} spares the link. */
  get(id: Uint8Array, size: ExpectedSize): Promise<Uint8Array>
  /** Whether it failed for good and need not be asked again. */
  readonly isLost: boolean
  end(error: EspalierError): void
}

/** How many bytes a shard has, as far as its reader knows. */
export type ExpectedSize = { readonly exactBytes: number } | { readonly maxBytes: number }

/** A link for writing to `peer`, which may be this node. */
export function writeLink(deps: LinkDeps, options: CheckedOptions, peer: NodeId): WriteLink {
  if (peer === deps.rpc.localId && deps.shards !== undefined) return new LocalWriteLink(deps.shards)
  return new RemoteWriteLink(pipelineTo(deps, options, { peer, type: wire.PUT_SHARDS }))
}

/** A link for reading from `peer`, which may be this node. */
export function readLink(deps: LinkDeps, options: CheckedOptions, peer: NodeId): ReadLink {
  if (peer === deps.rpc.localId && deps.shards !== undefined) return new LocalReadLink(deps.shards)
  return new RemoteReadLink(pipelineTo(deps, options, { peer, type: wire.GET_SHARDS }), deps.env)
}

class RemoteWriteLink implements WriteLink {
  readonly #pipeline: Pipeline
  #isAlive = false

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  async put(header: ShardHeader, bytes: Uint8Array): Promise<void> {
    try {
      await this.#pipeline.run({
        async send(stream) {
          await stream.write(wire.encodePutHeader(header))
          await stream.write(bytes)
        },
        async receive(stream) {
          const code = wire.decodePutAnswer((await stream.readFrame()) ?? ended())
          if (code !== undefined) throw new Refusal(code, 'the holder does not take the shard')
        },
      })
    } catch (error) {
      const failure = toEspalierError(error, 'CONNECTION_LOST', 'the holder failed')
      // Shards of one index go to one holder in order: after a gap the rest belongs to the next one.
      if (this.#pipeline.failure === undefined) this.#isAlive = failure instanceof Refusal
      this.#pipeline.fail(failure)
      throw failure
    }
  }

  end(error: EspalierError): void {
    this.#pipeline.fail(error)
  }
}

class RemoteReadLink implements ReadLink {
  readonly #pipeline: Pipeline
  readonly #env: Env

  constructor(pipeline: Pipeline, env: Env) {
    this.#pipeline = pipeline
    this.#env = env
  }

  get isLost(): boolean {
    return this.#pipeline.failure !== undefined
  }

  open(): Promise<void> {
    return this.#pipeline.open()
  }

  async get(id: Uint8Array, size: ExpectedSize): Promise<Uint8Array> {
    const maxBytes = 'exactBytes' in size ? size.exactBytes : size.maxBytes
    return this.#pipeline.run({
      send: (stream) => stream.write(wire.encodeGetRequest({ id, maxBytes })),
      receive: async (stream) => {
        const answer = wire.decodeGetAnswer((await stream.readFrame()) ?? ended())
        if ('code' in answer) throw new Refusal(answer.code, 'the holder does not give the shard')
        // Before memory is taken for it. The holder was told the most; more than that is a breach.
        if (answer.sizeBytes > maxBytes || ('exactBytes' in size && answer.sizeBytes !== maxBytes)) {
          throw new EspalierError('PROTOCOL_VIOLATION', 'the holder sends another size than was asked for')
        }
        const bytes = new Uint8Array(answer.sizeBytes)
        await stream.readExactly(bytes)
        if (!equalBytes(this.#env.crypto.hash(bytes), id)) throw wrongBytes()
        return bytes
      },
    })
  }

  end(error: EspalierError): void {
    this.#pipeline.fail(error)
  }
}

class LocalWriteLink implements WriteLink {
  // A full disk keeps what it has.
  readonly isAlive = true
  readonly #shards: ShardStore
  #failure: EspalierError | undefined

  constructor(shards: ShardStore) {
    this.#shards = shards
  }

  async put(header: ShardHeader, bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      await this.#shards.put(header, once(bytes))
    } catch (error) {
      this.#failure ??= toEspalierError(error, 'STORAGE_CORRUPT', 'storing on this node')
      throw this.#failure
    }
  }

  end(error: EspalierError): void {
    this.#failure ??= error
  }
}

class LocalReadLink implements ReadLink {
  readonly isLost = false
  readonly #shards: ShardStore
  #failure: EspalierError | undefined

  constructor(shards: ShardStore) {
    this.#shards = shards
  }

  open(): Promise<void> {
    return Promise.resolve()
  }

  async get(id: Uint8Array, size: ExpectedSize): Promise<Uint8Array> {
    if (this.#failure !== undefined) throw this.#failure
    const bytes = await this.#readOwn(id)
    if (bytes === undefined) throw new Refusal('NOT_FOUND', 'this node does not have it')
    const fits =
      'exactBytes' in size ? bytes.byteLength === size.exactBytes : bytes.byteLength <= size.maxBytes
    if (!fits) throw wrongBytes()
    return bytes
  }

  end(error: EspalierError): void {
    this.#failure ??= error
  }

  async #readOwn(id: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      // The store compares the hash before it hands out a byte.
      return await this.#shards.read(id)
    } catch (error) {
      const { code, message } = toEspalierError(error, 'STORAGE_CORRUPT', 'reading from this node')
      throw new Refusal(code, message, { cause: error })
    }
  }
}

function pipelineTo(
  deps: LinkDeps,
  options: CheckedOptions,
  to: { readonly peer: NodeId; readonly type: StreamType },
): Pipeline {
  const { rpc, env, locate } = deps
  const { dialTimeoutMs, stallTimeoutMs } = options
  return new Pipeline({
    rpc,
    clock: env.clock,
    ...to,
    locate: (id, call) => learnAddresses({ rpc, locate }, id, call.timeoutMs),
    dialTimeoutMs,
    stallTimeoutMs,
  })
}

async function learnAddresses(
  { rpc, locate }: { readonly rpc: RpcPort; readonly locate: LinkDeps['locate'] },
  id: NodeId,
  timeoutMs: number,
): Promise<void> {
  const addresses = (await locate?.(id, { timeoutMs })) ?? []
  if (addresses.length > 0) rpc.learn({ id, addresses })
}

// eslint-disable-next-line @typescript-eslint/require-await -- the store takes an async source
async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes
}

/** A holder with wrong bytes may have others right: the stream is in step. */
function wrongBytes(): Refusal {
  return new Refusal('STORAGE_CORRUPT', 'the holder has other bytes than the shard’s')
}

function ended(): never {
  throw new EspalierError('CONNECTION_LOST', 'the holder ended the stream')
}
