import { open, rm, type FileHandle } from 'node:fs/promises'
import { equalBytes } from '../base/bytes.ts'
import { toEspalierError } from '../base/error.ts'
import { createHasher } from '../native/hash.ts'
import { writeShardFile } from '../native/shard-file.ts'
import { closedError, invalid } from './checks.ts'
import { fileError } from './file-error.ts'
import type { ShardHeader } from './store.ts'

/** Pieces of a shard are put together to this before they are written; smaller shards are written in one go. */
const BUFFER_BYTES = 1024 * 1024

/** Buffers of small shards that wait for the next: fresh memory costs more than what is done with it. */
const buffers: Uint8Array[] = []
const MAX_BUFFERS = 4

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
  const { header } = incoming
  try {
    if (header.sizeBytes <= BUFFER_BYTES) {
      await writeAtOnce(path, incoming)
      return
    }
    await writeInPieces(path, incoming)
  } catch (thrown) {
    throw fileError(thrown, { code: 'STORAGE_CORRUPT', what: 'the shard could not be written' })
  }
}

async function writeAtOnce(path: string, incoming: Incoming): Promise<void> {
  const { sizeBytes, id } = incoming.header
  const buffer = buffers.pop() ?? new Uint8Array(BUFFER_BYTES)
  let filled = 0
  let written: Promise<void>
  try {
    await forEachPiece(incoming, (piece) => {
      // `forEachPiece` lets no more than the promised bytes through.
      buffer.set(piece, filled)
      filled += piece.byteLength
    })
    // Copied before this returns, so that the buffer can serve the next shard.
    written = writeShardFile(path, buffer.subarray(0, sizeBytes), id)
  } finally {
    if (buffers.length < MAX_BUFFERS) buffers.push(buffer)
  }
  await written
}

async function writeInPieces(path: string, incoming: Incoming): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    const writer = new HashingWriter(file)
    await forEachPiece(incoming, (piece) => writer.write(piece))
    if (!equalBytes(await writer.end(), incoming.header.id)) {
      throw invalid('the bytes do not have the promised hash')
    }
    await file.sync()
    await file.close()
  } catch (thrown) {
    await file.close().catch(() => undefined)
    await rm(path, { force: true })
    throw thrown
  }
}

/** Hands over exactly the promised bytes, or throws: the quota was asked for so many and no more. */
async function forEachPiece(
  { header, source, signal }: Incoming,
  take: (piece: Uint8Array) => Promise<void> | void,
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]()
  let receivedBytes = 0
  let isDone = false
  try {
    for (;;) {
      const next = await nextUnlessAborted(iterator, signal)
      if (next.done === true) break
      const piece: unknown = next.value
      if (!(piece instanceof Uint8Array)) throw invalid('a shard comes as Uint8Arrays')
      receivedBytes += piece.byteLength
      if (receivedBytes > header.sizeBytes) throw invalid(`more than the promised ${header.sizeBytes} bytes`)
      await take(piece)
    }
    isDone = true
  } finally {
    // Not awaited: a generator that hangs in its own await would never answer.
    if (!isDone) void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
  if (receivedBytes !== header.sizeBytes) {
    throw invalid(`${receivedBytes} of the promised ${header.sizeBytes} bytes came`)
  }
}

/** Hashes and writes what comes, in large pieces. */
class HashingWriter {
  readonly #file: FileHandle
  readonly #hasher = createHasher()
  readonly #buffer = new Uint8Array(BUFFER_BYTES)
  #filledBytes = 0

  constructor(file: FileHandle) {
    this.#file = file
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) {
      const piece = bytes.subarray(at, at + this.#buffer.byteLength - this.#filledBytes)
      this.#buffer.set(piece, this.#filledBytes)
      this.#filledBytes += piece.byteLength
      at += piece.byteLength
      if (this.#filledBytes === this.#buffer.byteLength) await this.#flush()
    }
  }

  /** The hash of everything, once it is in the file. */
  async end(): Promise<Uint8Array> {
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
