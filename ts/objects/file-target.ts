import { open, rename, rm, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { toEspalierError } from '../base/error.ts'

/**
 * Writes `chunks` beside `path` and puts the file under its name when it is whole and on disk; whatever fails
 * before, an existing file stays as it was and nothing is left. `suffix` keeps two writers apart.
 */
export async function writeWhole(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  options: { readonly suffix: string },
): Promise<void> {
  const directory = dirname(path)
  const temporary = join(directory, `.${basename(path)}.${options.suffix}.part`)
  let opened: FileHandle | undefined
  try {
    for await (const chunk of chunks) {
      const file = (opened ??= await onDisk(open(temporary, 'wx')))
      await onDisk(writeAll(file, chunk))
    }
    const file = (opened ??= await onDisk(open(temporary, 'wx')))
    await onDisk(file.sync())
    await file.close()
    await onDisk(rename(temporary, path))
    await onDisk(syncDirectory(directory))
  } catch (error) {
    await opened?.close().catch(() => undefined)
    if (opened !== undefined) await rm(temporary, { force: true })
    throw error
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.byteLength;) {
    const { bytesWritten } = await file.write(chunk, at, chunk.byteLength - at)
    at += bytesWritten
  }
}

/** The new name is durable only with its directory. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function onDisk<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const isFull = code === 'ENOSPC' || code === 'EDQUOT'
    throw toEspalierError(error, isFull ? 'STORAGE_FULL' : 'INVALID_ARGUMENT', 'the file cannot be written')
  }
}
