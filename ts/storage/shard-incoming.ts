import { open, rm, type FileHandle } from 'node:fs/promises'
import { equalBytes } from '../base/bytes.ts'
import { toEspalierError } from '../base/error.ts'
import { createHasher } from '../native/hash.ts'
import { closedError, invalid } from './checks.ts'
import { fileError } from './file-error.ts'
import type { ShardHeader } from './store.ts'

/** A shard on its way in. */
export interface Incoming {
  readonly header: ShardHeader
  readonly source: AsyncIterable<Uint8Array>
  /** Resolves when the store closes, so that a source that never ends can't hold it up. */
  readonly stopped: Promise<'stopped'>
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

async function receive(file: FileHandle, { header, source, stopped }: Incoming): Promise<void> {
  const hasher = createHasher()
  const iterator = source[Symbol.asyncIterator]()
  let receivedBytes = 0
  let isDone = false
  try {
    for (;;) {
      const next = await Promise.race([pull(iterator), stopped])
      if (next === 'stopped') throw closedError()
      if (next.done === true) break
      const chunk: unknown = next.value
      if (!(chunk instanceof Uint8Array)) throw invalid('a shard comes as Uint8Arrays')
      receivedBytes += chunk.byteLength
      // Before writing: the quota was asked for sizeBytes and no more.
      if (receivedBytes > header.sizeBytes) throw invalid(`more than the promised ${header.sizeBytes} bytes`)
      hasher.update(chunk)
      await writeAll(file, chunk)
    }
    isDone = true
  } finally {
    // Not awaited: a generator that hangs in its own await would never answer.
    if (!isDone) void Promise.resolve(iterator.return?.()).catch(() => undefined)
  }
  if (receivedBytes !== header.sizeBytes) {
    throw invalid(`${receivedBytes} of the promised ${header.sizeBytes} bytes came`)
  }
  if (!equalBytes(hasher.digest(), header.id)) throw invalid('the bytes do not have the promised hash')
}

async function pull(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array, unknown>> {
  try {
    return await iterator.next()
  } catch (thrown) {
    throw toEspalierError(thrown, 'ABORTED', 'the source of the shard failed')
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.byteLength;) {
    written += (await file.write(bytes, written, bytes.byteLength - written)).bytesWritten
  }
}
