import { EspalierError } from '../base/error.ts'
import { checkBytes, checkInteger, checkPath } from './check.ts'
import { MAX_SHARD_BYTES } from './erasure.ts'
import { DIGEST_BYTES } from './hash.ts'
import { addon } from './load.ts'
import { runJob } from './queue.ts'

/**
 * Writes `bytes` to a new file (mode 0600) and syncs it. The bytes are copied before this returns; nothing is left
 * of a failure. Rejects with `INVALID_ARGUMENT` for another hash, `STORAGE_FULL`, `LIMIT_EXCEEDED`, `STORAGE_CORRUPT`.
 */
export async function writeShardFile(path: string, bytes: Uint8Array, hash: Uint8Array): Promise<void> {
  checkPath(path)
  checkBytes('bytes', bytes, { min: 0, max: MAX_SHARD_BYTES })
  checkBytes('hash', hash, DIGEST_BYTES)
  await runJob((job) => addon().shardFileWrite(job, path, bytes, hash))
}

/** Moves a file to its place in the same folder; resolves once the folder is synced. Codes as {@link writeShardFile}. */
export async function placeShardFile({
  from,
  to,
}: {
  readonly from: string
  readonly to: string
}): Promise<void> {
  checkPath(from)
  checkPath(to)
  await runJob((job) => addon().shardFilePlace(job, from, to))
}

/** The file's bytes if they have this size and BLAKE3 hash; nothing when they don't, or when there is no file. */
export async function readShardFile(
  path: string,
  expected: { readonly sizeBytes: number; readonly hash: Uint8Array },
): Promise<Uint8Array | undefined> {
  checkPath(path)
  checkInteger('sizeBytes', expected.sizeBytes, 0, MAX_SHARD_BYTES)
  checkBytes('hash', expected.hash, DIGEST_BYTES)
  try {
    return await runJob((job) => addon().shardFileRead(job, path, expected.sizeBytes, expected.hash))
  } catch (thrown) {
    if (thrown instanceof EspalierError && thrown.code === 'NOT_FOUND') return undefined
    throw thrown
  }
}
