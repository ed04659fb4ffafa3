import { checkPath } from './check.ts'
import { native } from './error.ts'
import { Handle } from './handle.ts'
import { addon } from './load.ts'

/** An exclusive lock on a file. */
export interface FileLock {
  /** Gives the lock back; again, it does nothing. */
  release(): void
}

/**
 * Takes the operating system's exclusive lock on a file, which is made (mode 0600) when missing and never removed.
 * The lock ends with `release`, and with the process, however that ends. Throws `STORAGE_BUSY` when it is taken,
 * also by this process; `INVALID_ARGUMENT` when the file can't be opened.
 */
export function lockFile(path: string): FileLock {
  const checked = checkPath(path)
  const lock = { release: () => handle.close() }
  const handle = new Handle(
    native(() => addon().lockFile(checked)),
    'unlockFile',
    lock,
  )
  return lock
}
