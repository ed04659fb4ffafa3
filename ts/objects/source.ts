import { open, type FileHandle } from 'node:fs/promises'
import { copyBytes } from '../base/bytes.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import { reading } from '../base/read.ts'
import { checkBytes } from '../native/check.ts'

/**
 * What can be stored: bytes, or a stream of bytes of the platform or of Node.
 *
 * @category Objects
 */
export type ObjectSource = Uint8Array | Blob | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>

/** An object's plaintext, cut into segments as it is asked for. */
export interface SegmentSource {
  readonly totalBytes?: number
  /** Up to `segmentBytes`, fewer only at the end; nothing after the end. Valid until the next call. */
  next(): Promise<Uint8Array | undefined>
  /** Lets go of the source in the middle. Idempotent; never rejects. */
  close(): Promise<void>
}

/** Throws `INVALID_ARGUMENT` for anything that is no source of bytes. */
export function sourceOf(data: ObjectSource, segmentBytes: number): SegmentSource {
  // A JavaScript caller may pass anything.
  const source = reading('data', () => {
    if (data instanceof Uint8Array) return bytesSource(checkBytes('data', data), segmentBytes)
    if (data instanceof Blob) return streamSource(data.stream(), { segmentBytes, totalBytes: data.size })
    if (data instanceof ReadableStream) return streamSource(data, { segmentBytes })
    const iterate: unknown = (data as Partial<AsyncIterable<unknown>> | null | undefined)?.[
      Symbol.asyncIterator
    ]
    return typeof iterate === 'function' ? 'iterable' : undefined
  })
  if (source === undefined) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      'data must be a Uint8Array, a Blob, a stream or an async iterable',
    )
  }
  if (source !== 'iterable') return source
  const iterator: unknown = (data as AsyncIterable<unknown>)[Symbol.asyncIterator]()
  if (!isIterator(iterator)) throw notIterable()
  return new IterableSource(iterator, { segmentBytes })
}

function isIterator(value: unknown): value is AsyncIterator<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { next?: unknown }).next === 'function'
  )
}

function notIterable(): EspalierError {
  return new EspalierError('INVALID_ARGUMENT', 'data is no async iterable: its iterator is none')
}

/** Reads a regular file or a pipe. Throws `INVALID_ARGUMENT` when it cannot be opened. */
export async function fileSource(path: string, segmentBytes: number): Promise<SegmentSource> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const stat = await file.stat()
    if (stat.isDirectory()) throw new EspalierError('INVALID_ARGUMENT', `${path} is a directory`)
    return new FileSource(file, { segmentBytes, ...(stat.isFile() ? { totalBytes: stat.size } : {}) })
  } catch (error) {
    await file?.close()
    throw toEspalierError(error, 'INVALID_ARGUMENT', 'the file cannot be read')
  }
}

function bytesSource(data: Uint8Array, segmentBytes: number): SegmentSource {
  // A snapshot: what the caller does to the array while the transfer runs must not reach the object.
  const snapshot = copyBytes(data)
  let at = 0
  return {
    totalBytes: snapshot.byteLength,
    next() {
      if (at >= snapshot.byteLength) return Promise.resolve(undefined)
      const segment = snapshot.subarray(at, at + segmentBytes)
      at += segment.byteLength
      return Promise.resolve(segment)
    },
    close: () => Promise.resolve(),
  }
}

interface Sizes {
  readonly segmentBytes: number
  readonly totalBytes?: number
}

function streamSource(stream: ReadableStream<unknown>, sizes: Sizes): SegmentSource {
  const reader: ReadableStreamDefaultReader<unknown> = stream.getReader()
  const iterator: AsyncIterator<unknown, undefined> = {
    async next() {
      const { done, value } = await reader.read()
      return done ? { done: true as const, value: undefined } : { done: false as const, value }
    },
    async return() {
      await reader.cancel()
      return { done: true as const, value: undefined }
    },
  }
  return new IterableSource(iterator, sizes)
}

/** Gathers chunks of any size; pulls one only when it is needed. */
class IterableSource implements SegmentSource {
  readonly totalBytes?: number
  readonly #iterator: AsyncIterator<unknown>
  readonly #segment: Uint8Array
  /** What did not fit into the segment, in memory of our own: the chunk is the caller's again. */
  #rest: Uint8Array = new Uint8Array(0)
  #isDone = false

  constructor(iterator: AsyncIterator<unknown>, sizes: Sizes) {
    this.#iterator = iterator
    this.#segment = new Uint8Array(sizes.segmentBytes)
    if (sizes.totalBytes !== undefined) this.totalBytes = sizes.totalBytes
  }

  async next(): Promise<Uint8Array | undefined> {
    const kept = this.#rest.subarray(0, this.#segment.byteLength)
    this.#segment.set(kept)
    this.#rest = this.#rest.subarray(kept.byteLength)
    let filled = kept.byteLength
    while (filled < this.#segment.byteLength) {
      const count = await this.#pullInto(this.#segment.subarray(filled))
      if (count === undefined) break
      filled += count
    }
    return filled === 0 ? undefined : this.#segment.subarray(0, filled)
  }

  async close(): Promise<void> {
    if (this.#isDone) return
    this.#isDone = true
    try {
      await this.#iterator.return?.()
    } catch {
      // The transfer is over; what the source thinks of it changes nothing.
    }
  }

  /** Takes one chunk, at once and wholly; answers the bytes that went into `target`, nothing at the end. */
  async #pullInto(target: Uint8Array): Promise<number | undefined> {
    if (this.#isDone) return undefined
    const result: unknown = await this.#iterator.next()
    if (typeof result !== 'object' || result === null) throw notIterable()
    const { done, value } = result as IteratorResult<unknown, unknown>
    if (done === true) {
      this.#isDone = true
      return undefined
    }
    if (!(value instanceof Uint8Array)) {
      throw new EspalierError(
        'INVALID_ARGUMENT',
        'the stream must yield Uint8Array chunks, not text or objects',
      )
    }
    const chunk = checkBytes('chunk', value)
    const part = chunk.subarray(0, target.byteLength)
    target.set(part)
    if (part.byteLength < chunk.byteLength) this.#rest = copyBytes(chunk.subarray(part.byteLength))
    return part.byteLength
  }
}

class FileSource implements SegmentSource {
  readonly totalBytes?: number
  readonly #file: FileHandle
  readonly #segment: Uint8Array
  #isClosed = false

  constructor(file: FileHandle, sizes: Sizes) {
    this.#file = file
    this.#segment = new Uint8Array(sizes.segmentBytes)
    if (sizes.totalBytes !== undefined) this.totalBytes = sizes.totalBytes
  }

  async next(): Promise<Uint8Array | undefined> {
    let filled = 0
    try {
      while (filled < this.#segment.byteLength) {
        // Without a position a pipe can be read too.
        const { bytesRead } = await this.#file.read(this.#segment, filled, this.#segment.byteLength - filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
    } catch (error) {
      throw toEspalierError(error, 'INVALID_ARGUMENT', 'the file cannot be read')
    }
    return filled === 0 ? undefined : this.#segment.subarray(0, filled)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#file.close().catch(() => undefined)
  }
}
