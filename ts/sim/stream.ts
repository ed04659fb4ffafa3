import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { iterateStream } from '../net/stream-iteration.ts'
import type { ByteStream } from '../net/transport.ts'

/** Bytes that may be under way, or received and not yet read, in one direction. */
const WINDOW_BYTES = 262_144
const SEGMENT_BYTES = 65_536

/** What a stream does through its connection; each call reaches the same stream on the other side. */
export interface StreamPath {
  data(bytes: Uint8Array): void
  end(): void
  /** The reader has room for this many bytes more. */
  credit(count: number): void
  reset(code: number): void
  /** Nothing more will come from either side. */
  done(): void
}

interface Writer {
  /** Resolves once this many bytes of the whole stream were sent. */
  readonly untilBytes: number
  readonly resolve: () => void
  readonly reject: (error: EspalierError) => void
}

interface Reader {
  readonly target: Uint8Array
  readonly resolve: (count: number) => void
  readonly reject: (error: EspalierError) => void
}

/** One side of a simulated byte stream, with the window of a real one. */
export class SimStream implements ByteStream {
  readonly peer: NodeId
  readonly #path: StreamPath
  /** Not yet sent. Bounded by what the caller writes without waiting. */
  readonly #unsent: Uint8Array[] = []
  /** Received and not read. Bounded by the window. */
  readonly #unread: Uint8Array[] = []
  /** Bounded by the calls of `write` that wait. */
  #writers: Writer[] = []
  #reader: Reader | undefined
  #writtenBytes = 0
  #sentBytes = 0
  #creditBytes = WINDOW_BYTES
  #owedBytes = 0
  #wantsEnd = false
  #hasSentEnd = false
  #hasReceivedEnd = false
  #error: EspalierError | undefined

  constructor(peer: NodeId, path: StreamPath) {
    this.peer = peer
    this.#path = path
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#wantsEnd) {
      return Promise.reject(new EspalierError('CLOSED', 'the writing side of this stream is closed'))
    }
    if (bytes.byteLength > 0) this.#unsent.push(new Uint8Array(bytes))
    this.#writtenBytes += bytes.byteLength
    this.#pump()
    return this.#whenSent()
  }

  closeWrite(): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    this.#wantsEnd = true
    this.#pump()
    return this.#whenSent()
  }

  readInto(target: Uint8Array): Promise<number> {
    if (target.byteLength === 0) {
      return Promise.reject(new EspalierError('INVALID_ARGUMENT', 'the target of a read has no room'))
    }
    if (this.#reader !== undefined) {
      return Promise.reject(new EspalierError('INVALID_STATE', 'another read is under way'))
    }
    return new Promise((resolve, reject) => {
      this.#reader = { target, resolve, reject }
      this.#serveReader()
    })
  }

  reset(code: number): void {
    if (this.#error !== undefined || this.#isDone()) return
    this.#path.reset(code)
    this.fail(resetError('this side reset the stream', code))
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return iterateStream(this)
  }

  /** From the other side. */
  receiveData(bytes: Uint8Array): void {
    if (this.#error !== undefined) return
    this.#unread.push(bytes)
    this.#serveReader()
  }

  receiveEnd(): void {
    this.#hasReceivedEnd = true
    this.#serveReader()
  }

  receiveCredit(count: number): void {
    this.#creditBytes += count
    this.#pump()
  }

  receiveReset(code: number): void {
    this.fail(resetError('the peer reset the stream', code))
  }

  /** Ends both directions: everything that waits is rejected with `error`. */
  fail(error: EspalierError): void {
    if (this.#error !== undefined || this.#isDone()) return
    this.#error = error
    this.#unsent.length = 0
    this.#unread.length = 0
    for (const writer of this.#writers.splice(0)) writer.reject(error)
    this.#reader?.reject(error)
    this.#reader = undefined
    this.#path.done()
  }

  #pump(): void {
    while (this.#creditBytes > 0) {
      const next = this.#unsent[0]
      if (next === undefined) break
      const count = Math.min(next.byteLength, SEGMENT_BYTES, this.#creditBytes)
      if (count === next.byteLength) this.#unsent.shift()
      else this.#unsent[0] = next.subarray(count)
      this.#creditBytes -= count
      this.#sentBytes += count
      this.#path.data(next.subarray(0, count))
    }
    if (this.#wantsEnd && !this.#hasSentEnd && this.#unsent.length === 0) {
      this.#hasSentEnd = true
      this.#path.end()
      this.#finishIfDone()
    }
    while (this.#writers[0] !== undefined && this.#writers[0].untilBytes <= this.#sentBytes) {
      this.#writers.shift()?.resolve()
    }
  }

  #whenSent(): Promise<void> {
    if (this.#sentBytes === this.#writtenBytes) return Promise.resolve()
    const untilBytes = this.#writtenBytes
    return new Promise((resolve, reject) => this.#writers.push({ untilBytes, resolve, reject }))
  }

  #serveReader(): void {
    const reader = this.#reader
    if (reader === undefined) return
    if (this.#error !== undefined) {
      this.#reader = undefined
      reader.reject(this.#error)
      return
    }
    let count = 0
    for (let next = this.#unread[0]; next !== undefined; next = this.#unread[0]) {
      const taken = Math.min(next.byteLength, reader.target.byteLength - count)
      if (taken === 0) break
      reader.target.set(next.subarray(0, taken), count)
      count += taken
      if (taken === next.byteLength) this.#unread.shift()
      else this.#unread[0] = next.subarray(taken)
    }
    if (count === 0 && !this.#hasReceivedEnd) return
    this.#reader = undefined
    this.#repay(count)
    reader.resolve(count)
    this.#finishIfDone()
  }

  /** Gives credit back in pieces, not for each small read. */
  #repay(count: number): void {
    this.#owedBytes += count
    if (this.#hasReceivedEnd || (this.#owedBytes < WINDOW_BYTES / 4 && this.#unread.length > 0)) return
    if (this.#owedBytes === 0) return
    this.#path.credit(this.#owedBytes)
    this.#owedBytes = 0
  }

  #isDone(): boolean {
    return this.#hasSentEnd && this.#hasReceivedEnd && this.#unread.length === 0
  }

  #finishIfDone(): void {
    if (this.#isDone()) this.#path.done()
  }
}

function resetError(what: string, code: number): EspalierError {
  return new EspalierError('STREAM_RESET', `${what} with code ${code}`, { details: { resetCode: code } })
}
