import { copyBytes } from '../base/bytes.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { checkBytes, checkInteger } from '../native/check.ts'
import type { NativeEndpoint } from '../native/endpoint.ts'
import { iterateStream } from './stream-iteration.ts'
import type { ByteStream } from './transport.ts'

/** Native code takes up to 16 MiB at once; smaller pieces let back-pressure work. */
const PIECE_BYTES = 1_048_576
const MAX_RESET_CODE = 0xffff_ffff

/** One side of a QUIC stream. What is not read to its end has to be reset. */
export class QuicStream implements ByteStream {
  readonly peer: NodeId
  readonly #endpoint: NativeEndpoint
  readonly #number: number
  readonly #onReleased: () => void
  #reader: Reader | undefined
  /** Bounded by the calls of `write` that wait. */
  #writers: Waiter[] = []
  #hasReadEnded = false
  #hasWriteEnded = false
  #isReleased = false
  #resetError: EspalierError | undefined
  /** Every later read fails like the first that failed: a lost stream must not look ended. */
  #readError: EspalierError | undefined

  constructor(
    endpoint: NativeEndpoint,
    options: { readonly peer: NodeId; readonly number: number; readonly onReleased: () => void },
  ) {
    this.#endpoint = endpoint
    this.#number = options.number
    this.peer = options.peer
    this.#onReleased = options.onReleased
  }

  async write(bytes: Uint8Array): Promise<void> {
    checkBytes('bytes', bytes)
    if (bytes.byteLength <= PIECE_BYTES) return this.#writePiece(bytes)
    // What is sent later must be what was given now.
    const copy = copyBytes(bytes)
    for (let at = 0; at < copy.byteLength; at += PIECE_BYTES) {
      await this.#writePiece(copy.subarray(at, at + PIECE_BYTES))
    }
  }

  async closeWrite(): Promise<void> {
    if (this.#resetError !== undefined) throw this.#resetError
    if (this.#hasWriteEnded) return
    this.#hasWriteEnded = true
    try {
      await this.#endpoint.finish(this.#number)
    } finally {
      this.#releaseIfEnded()
    }
  }

  readInto(target: Uint8Array): Promise<number> {
    if (this.#reader !== undefined) {
      return Promise.reject(new EspalierError('INVALID_STATE', 'another read of this stream is waiting'))
    }
    try {
      checkBytes('target', target, { min: 1, max: Number.MAX_SAFE_INTEGER })
      const count = this.#read(target)
      if (count >= 0) return Promise.resolve(count)
    } catch (thrown) {
      return Promise.reject(toEspalierError(thrown, 'INVALID_STATE', 'the stream could not be read'))
    }
    return new Promise((resolve, reject) => (this.#reader = { target, resolve, reject }))
  }

  reset(code: number): void {
    checkInteger('code', code, 0, MAX_RESET_CODE)
    if (this.#resetError !== undefined || this.#isReleased) return
    this.#resetError = new EspalierError('STREAM_RESET', `this side reset the stream with code ${code}`, {
      details: { resetCode: code },
    })
    this.#endpoint.reset(this.#number, code)
    this.#isReleased = true
    this.#onReleased()
    this.#reader?.reject(this.#resetError)
    this.#reader = undefined
    this.#wakeWriters()
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return iterateStream(this)
  }

  /** Bytes, or the end, are there. @internal */
  onReadable(): void {
    const reader = this.#reader
    if (reader === undefined) return
    this.#reader = undefined
    try {
      // Memory that was transferred while the read waited has no room left.
      checkBytes('target', reader.target, { min: 1, max: Number.MAX_SAFE_INTEGER })
      const count = this.#read(reader.target)
      if (count >= 0) reader.resolve(count)
      else this.#reader = reader
    } catch (thrown) {
      reader.reject(toEspalierError(thrown, 'INVALID_STATE', 'the stream could not be read'))
    }
  }

  /** The network has taken what waited, or never will. @internal */
  onWritable(): void {
    this.#wakeWriters()
  }

  #read(target: Uint8Array): number {
    if (this.#resetError !== undefined) throw this.#resetError
    if (this.#readError !== undefined) throw this.#readError
    if (this.#hasReadEnded) return 0
    try {
      const count = this.#endpoint.read(this.#number, target)
      if (count === 0) this.#endReading()
      return count
    } catch (thrown) {
      this.#readError = toEspalierError(thrown, 'CONNECTION_LOST', 'the stream ended')
      this.#endReading()
      throw this.#readError
    }
  }

  #endReading(): void {
    this.#hasReadEnded = true
    this.#releaseIfEnded()
  }

  async #writePiece(bytes: Uint8Array): Promise<void> {
    if (this.#resetError !== undefined) throw this.#resetError
    if (this.#hasWriteEnded) throw new EspalierError('CLOSED', 'the writing side of this stream is closed')
    const hasToWait = this.#tryWrite(bytes)
    if (hasToWait) await new Promise<void>((resolve, reject) => this.#writers.push({ resolve, reject }))
  }

  #tryWrite(bytes: Uint8Array): boolean {
    try {
      return this.#endpoint.write(this.#number, bytes)
    } catch (thrown) {
      const error = toEspalierError(thrown, 'INVALID_STATE', 'the stream could not be written')
      // Over the backlog only this piece is refused; anything else ends the direction.
      if (error.code !== 'LIMIT_EXCEEDED') {
        this.#hasWriteEnded = true
        this.#releaseIfEnded()
      }
      throw error
    }
  }

  #wakeWriters(): void {
    const writers = this.#writers
    this.#writers = []
    const failure = writers.length === 0 ? undefined : this.#writeFailure()
    for (const writer of writers) {
      if (failure === undefined) writer.resolve()
      else writer.reject(failure)
    }
  }

  /** Why nothing can be written any more: an empty write tells. */
  #writeFailure(): EspalierError | undefined {
    if (this.#resetError !== undefined) return this.#resetError
    if (this.#hasWriteEnded) return undefined
    try {
      this.#tryWrite(EMPTY)
      return undefined
    } catch (thrown) {
      return toEspalierError(thrown, 'CONNECTION_LOST', 'the stream ended')
    }
  }

  #releaseIfEnded(): void {
    if (!this.#hasReadEnded || !this.#hasWriteEnded || this.#isReleased) return
    this.#isReleased = true
    this.#endpoint.release(this.#number)
    this.#onReleased()
  }
}

interface Reader {
  readonly target: Uint8Array
  readonly resolve: (count: number) => void
  readonly reject: (error: EspalierError) => void
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: EspalierError) => void
}

const EMPTY = new Uint8Array(0)
