import { open, rm, type FileHandle } from 'node:fs/promises'
import { equalBytes } from '../base/bytes.ts'
import { toEspalierError } from '../base/error.ts'
import { createHasher } from '../native/hash.ts'
import { closedError, invalid } from './checks.ts'
import { fileError } from './file-error.ts'
import type { ShardHeader } from './store.ts'

/** Pieces of a shard are put together to this before they are hashed and written. */
const BUFFER_BYTES = 256 * 1024

/** A shard on its way in. */
export interface Incoming {
  readonly header: ShardHeader
  readonly source: AsyncIterable<Uint8Array>
  /** Aborted when the store closes, so that a source that never ends can't hold it up. */
  readonly signal: AbortSignal
}

/**
 * Writes exactly the promised bytes to a new file at `path` and syncs it. Whatever goes wrong, no file is left.
 * Codes: `INVALID_ARGUMENT` (size or hash differs), `STORAGE_FULL`, `CLOSED`, `ABORTED` (the source failed).
 */
export async function writeIncoming(path: string, incoming: Incoming): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await receive(file, incoming)
    await file.sync()
    await file.close()
  } catch (thrown) {
    await file.close().catch(() => undefined)
    await rm(path, { force: true })
    throw fileError(thrown, { code: 'STORAGE_CORRUPT', what: 'the shard could not be written' })
  }
}

async function receive(file: FileHandle, { header, source, signal }: Incoming): Promise<void> {
  const writer = new HashingWriter(file, { sizeBytes: header.sizeBytes })
  const iterator = source[Symbol.asyncIterator]()
  let isDone = false
  try {
    for (;;) {
      const next = await nextUnlessAborted(iterator, signal)
      if (next.done === true) break
      await writer.write(next.value)
    }
    isDone = true
  } finally {
    // Not awaited: a generator that hangs in its own await would never answer.
    if (!isDone) void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
  if (!equalBytes(await writer.end(), header.id)) throw invalid('the bytes do not have the promised hash')
}

/** Counts, hashes and writes what comes, in large pieces, and never a byte more than was promised. */
class HashingWriter {
  readonly #file: FileHandle
  readonly #sizeBytes: number
  readonly #hasher = createHasher()
  readonly #buffer: Uint8Array
  #filledBytes = 0
  #receivedBytes = 0

  constructor(file: FileHandle, { sizeBytes }: { readonly sizeBytes: number }) {
    this.#file = file
    this.#sizeBytes = sizeBytes
    this.#buffer = new Uint8Array(Math.min(BUFFER_BYTES, sizeBytes))
  }

  async write(chunk: unknown): Promise<void> {
    if (!(chunk instanceof Uint8Array)) throw invalid('a shard comes as Uint8Arrays')
    this.#receivedBytes += chunk.byteLength
    // Before writing: the quota was asked for sizeBytes and no more.
    if (this.#receivedBytes > this.#sizeBytes)
      throw invalid(`more than the promised ${this.#sizeBytes} bytes`)
    for (let at = 0; at < chunk.byteLength;) {
      const piece = chunk.subarray(at, at + this.#buffer.byteLength - this.#filledBytes)
      this.#buffer.set(piece, this.#filledBytes)
      this.#filledBytes += piece.byteLength
      at += piece.byteLength
      if (this.#filledBytes === this.#buffer.byteLength) await this.#flush()
    }
  }

  /** The hash of everything, once the promised size is in the file. */
  async end(): Promise<Uint8Array> {
    if (this.#receivedBytes !== this.#sizeBytes) {
      throw invalid(`${this.#receivedBytes} of the promised ${this.#sizeBytes} bytes came`)
    }
    await this.#flush()
    return this.#hasher.digest()
  }

  async #flush(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#filledBytes)
    this.#hasher.update(bytes)
    for (let written = 0; written < bytes.byteLength;) {
      written += (await this.#file.write(bytes, written, bytes.byteLength - written)).bytesWritten
    }
    this.#filledBytes = 0
  }
}

/** The iterator's next answer, or `CLOSED` at once when `signal` aborts. Leaves nothing behind on the signal. */
async function nextUnlessAborted(
  iterator: AsyncIterator<Uint8Array>,
  signal: AbortSignal,
): Promise<IteratorResult<unknown>> {
  if (signal.aborted) throw closedError()
  let stop: () => void = () => undefined
  try {
    return await new Promise<IteratorResult<unknown>>((resolve, reject) => {
      stop = () => reject(closedError())
      signal.addEventListener('abort', stop)
      iterator.next().then(resolve, reject)
    })
  } catch (thrown) {
    throw toEspalierError(thrown, 'ABORTED', 'the source of the shard failed')
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
