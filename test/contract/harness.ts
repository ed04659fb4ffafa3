import { expect } from 'vitest'
import { EspalierError, type ErrorCode } from '../../ts/base/error.ts'
import type { Address } from '../../ts/net/address.ts'
import type { ByteStream, Connection, Inbound, InboundRequest, Transport } from '../../ts/net/transport.ts'

/** Two transports that can reach each other and don't listen yet, and the way their time passes. */
export interface TransportPair {
  readonly a: Transport
  readonly b: Transport
  /** One more transport with an identity of its own; on `address`, or on a free one. */
  create(address?: Address): Promise<Transport>
  /** An address that nobody listens on. */
  readonly deadAddress: Address
  /** Lets that much time pass: simulated, or real by waiting. */
  advance(durationMs: number): Promise<void>
  /** The outcome of `promise`, while time passes. */
  until<T>(promise: Promise<T>): Promise<T>
  /** Closes what the test left open. */
  end(): Promise<void>
}

export type MakePair = () => Promise<TransportPair>

/** An `Inbound` that keeps what arrives, and answers each request with its own body unless told otherwise. */
export class Recorder implements Inbound {
  readonly requests: InboundRequest[] = []
  readonly connections: Connection[] = []
  readonly moved: Connection[] = []
  readonly datagrams: { readonly protocol: number; readonly body: Uint8Array }[] = []
  readonly streams: { readonly protocol: number; readonly stream: ByteStream }[] = []
  readonly #onRequest: (request: InboundRequest) => Promise<Uint8Array>
  readonly #waiters: (() => void)[] = []

  constructor(
    onRequest: (request: InboundRequest) => Promise<Uint8Array> = ({ body }) => Promise.resolve(body),
  ) {
    this.#onRequest = onRequest
  }

  onRequest(request: InboundRequest): Promise<Uint8Array> {
    this.requests.push(request)
    this.#wake()
    return this.#onRequest(request)
  }

  onStream(protocol: number, stream: ByteStream): void {
    this.streams.push({ protocol, stream })
    this.#wake()
  }

  onDatagram(protocol: number, body: Uint8Array): void {
    this.datagrams.push({ protocol, body })
    this.#wake()
  }

  onConnection(connection: Connection): void {
    this.connections.push(connection)
    this.#wake()
  }

  onMoved(connection: Connection): void {
    this.moved.push(connection)
    this.#wake()
  }

  /** Resolves as soon as `condition` holds after something arrived. */
  async has(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  async stream(index = 0): Promise<ByteStream> {
    await this.has(() => this.streams.length > index)
    return this.streams[index]!.stream
  }

  async connection(): Promise<Connection> {
    await this.has(() => this.connections.length > 0)
    return this.connections.at(-1)!
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }
}

/** Lets both listen and connects `a` to `b`. */
export async function connected(
  pair: TransportPair,
  { atA = new Recorder(), atB = new Recorder() }: { atA?: Recorder; atB?: Recorder } = {},
) {
  await pair.a.listen(atA)
  const addresses = await pair.b.listen(atB)
  const ab = await pair.until(pair.a.connect({ id: pair.b.localId, addresses }))
  const ba = await pair.until(atB.connection())
  return { ab, ba, atA, atB, addresses }
}

/** Runs `test` with a fresh pair and closes it afterwards, whatever happens. */
export function withPair(makePair: MakePair, test: (pair: TransportPair) => Promise<void>) {
  return async () => {
    const pair = await makePair()
    try {
      await test(pair)
    } finally {
      await pair.end()
    }
  }
}

/** The code that `promise` is rejected with, while time passes. */
export async function codeOf(pair: TransportPair, promise: Promise<unknown>): Promise<ErrorCode> {
  return (await errorOf(pair, promise)).code
}

export async function errorOf(pair: TransportPair, promise: Promise<unknown>): Promise<EspalierError> {
  const outcome = await pair.until(
    promise.then(
      () => undefined,
      (error: unknown) => error,
    ),
  )
  expect(outcome).toBeInstanceOf(EspalierError)
  return outcome as EspalierError
}

/** A promise for an event of a test. */
export function deferred<T = void>() {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

/** Bytes that differ at every offset and for every seed, cheap to make. */
export function pattern(lengthBytes: number, seed = 0): Uint8Array {
  const bytes = new Uint8Array(lengthBytes)
  let state = (seed * 2_654_435_761 + 1) >>> 0
  for (let index = 0; index < lengthBytes; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[index] = state >>> 24
  }
  return bytes
}

/** Everything up to the end of the stream. */
export async function readAll(stream: ByteStream): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts)
}
