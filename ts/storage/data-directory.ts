import { existsSync } from 'node:fs'
import { access, chmod, constants, mkdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { EspalierError } from '../base/error.ts'
import { lockFile, type FileLock } from '../native/lock.ts'
import { errnoOf, fileError } from './file-error.ts'

/** Only the user who runs the node. */
const PRIVATE_MODE = 0o700

/** The folder of one node, held by an operating-system lock until `release` or the end of the process. */
export class DataDirectory {
  readonly path: string
  readonly identityPath: string
  readonly databasePath: string
  readonly shardsPath: string
  readonly #lock: FileLock

  /**
   * Makes the folder (mode 0700) where it is missing, closes it to other users where it is there, and locks it.
   * Codes: `STORAGE_BUSY` (another process, or this one, has it), `STORAGE_FULL`, `INVALID_ARGUMENT` (not a folder, or
   * not one that this user may read and write; `cause` says why).
   */
  static async open(path: string): Promise<DataDirectory> {
    if (typeof path !== 'string' || path === '' || path.includes('\0')) {
      throw new EspalierError('INVALID_ARGUMENT', 'the data directory is named by a path')
    }
    const absolute = resolve(path)
    try {
      await makePrivate(absolute)
      return new DataDirectory(absolute, lockFile(join(absolute, 'lock')))
    } catch (thrown) {
      throw fileError(thrown, {
        code: 'INVALID_ARGUMENT',
        what: `the data directory ${absolute} cannot be used`,
      })
    }
  }

  private constructor(path: string, lock: FileLock) {
    this.path = path
    this.identityPath = join(path, 'identity.key')
    this.databasePath = join(path, 'database.sqlite')
    this.shardsPath = join(path, 'shards')
    this.#lock = lock
  }

  /** Lets the next process in; again, it does nothing. */
  release(): void {
    this.#lock.release()
  }
}

/** Not Node's `recursive`, which never ends where a folder cannot be made although its parent is there (/proc). */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: PRIVATE_MODE })
  } catch (thrown) {
    // What stands there is told from a folder by the caller.
    if (errnoOf(thrown) === 'EEXIST') return
    const parent = dirname(path)
    if (errnoOf(thrown) !== 'ENOENT' || parent === path || existsSync(parent)) throw thrown
    await makeFolder(parent)
    await mkdir(path, { mode: PRIVATE_MODE })
  }
}

async function makePrivate(path: string): Promise<void> {
  await makeFolder(path)
  const found = await stat(path)
  if (!found.isDirectory()) throw new EspalierError('INVALID_ARGUMENT', `${path} is not a folder`)
  await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
  if (process.platform !== 'win32' && (found.mode & 0o077) !== 0) await chmod(path, PRIVATE_MODE)
}
