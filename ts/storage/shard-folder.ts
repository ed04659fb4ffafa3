import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { placeShardFile, readShardFile } from '../native/shard-file.ts'
import { errnoOf } from './file-error.ts'
import { writeIncoming, type Incoming } from './shard-incoming.ts'

/** Characters of the name that choose the folder: 32 folders of at most about 8,000 files, soon made and synced. */
const PREFIX_CHARACTERS = 1
const TEMPORARY = /^[a-z2-7]{52}\.[0-9]+\.tmp$/
const SHARD = /^[a-z2-7]{52}$/
/** Where files go that no row speaks of. */
const QUARANTINE = 'quarantine'

/** What one of the 32 folders holds. */
export interface FolderListing {
  readonly temporary: readonly string[]
  readonly shards: ReadonlySet<string>
  /** Not made by us: left alone. */
  readonly foreign: readonly string[]
}

/** Where the files of shards lie: `<first character>/<52 characters of base32>`. Knows no rows and no quota. */
export class ShardFolder {
  readonly #root: string
  /** Folders known to exist. Bounded by the 32 prefixes. */
  readonly #made = new Set<string>()
  #nextTemporary = 1

  constructor(root: string) {
    this.#root = root
  }

  async prepare(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 })
  }

  /** The prefixes that have a folder. */
  async prefixes(): Promise<string[]> {
    return (await readdir(this.#root)).filter((name) => /^[a-z2-7]$/.test(name))
  }

  async list(prefix: string): Promise<FolderListing> {
    const names = await readdir(join(this.#root, prefix)).catch((thrown: unknown): string[] => {
      if (errnoOf(thrown) === 'ENOENT') return []
      throw thrown
    })
    return {
      temporary: names.filter((name) => TEMPORARY.test(name)),
      shards: new Set(names.filter((name) => SHARD.test(name))),
      foreign: names.filter((name) => !TEMPORARY.test(name) && !SHARD.test(name)),
    }
  }

  /** Writes and verifies `incoming` beside its place, synced; answers the temporary file's path. */
  async receive(name: string, incoming: Incoming): Promise<string> {
    await this.#makeFolderOf(name)
    const path = join(this.#folderOf(name), `${name}.${this.#nextTemporary++}.tmp`)
    await writeIncoming(path, incoming)
    return path
  }

  /** Moves a temporary file to its place; resolves once the folder is synced. */
  async place(name: string, temporary: string): Promise<void> {
    await placeShardFile({ from: temporary, to: this.#pathOf(name) })
  }

  /** The file's bytes; `undefined` when they have another size or hash, or the file is not there. */
  read(
    name: string,
    expected: { readonly sizeBytes: number; readonly hash: Uint8Array },
  ): Promise<Uint8Array | undefined> {
    return readShardFile(this.#pathOf(name), expected)
  }

  async remove(name: string): Promise<void> {
    await rm(this.#pathOf(name), { force: true })
  }

  async discard(temporary: string): Promise<void> {
    await rm(temporary, { force: true })
  }

  async removeTemporary(prefix: string, name: string): Promise<void> {
    await rm(join(this.#root, prefix, name), { force: true })
  }

  /** Sets a file aside under the time at which that was done. */
  async quarantine(name: string, nowUnixMs: number): Promise<void> {
    await mkdir(join(this.#root, QUARANTINE), { recursive: true, mode: 0o700 })
    await rename(this.#pathOf(name), join(this.#root, QUARANTINE, `${nowUnixMs}-${name}`))
  }

  /** Deletes what was set aside at `untilUnixMs` or before; answers how many files. */
  async purgeQuarantine(untilUnixMs: number): Promise<number> {
    const folder = join(this.#root, QUARANTINE)
    const names = await readdir(folder).catch((): string[] => [])
    const old = names.filter((name) => /^[0-9]+-/.test(name) && Number.parseInt(name, 10) <= untilUnixMs)
    for (const name of old) await rm(join(folder, name), { force: true })
    return old.length
  }

  async #makeFolderOf(name: string): Promise<void> {
    const prefix = name.slice(0, PREFIX_CHARACTERS)
    if (this.#made.has(prefix)) return
    await mkdir(this.#folderOf(name), { recursive: true, mode: 0o700 })
    await syncFolder(this.#root)
    this.#made.add(prefix)
  }

  #folderOf(name: string): string {
    return join(this.#root, name.slice(0, PREFIX_CHARACTERS))
  }

  #pathOf(name: string): string {
    return join(this.#folderOf(name), name)
  }
}

/** Without this a power failure may forget the name of a file whose bytes are safe. */
async function syncFolder(path: string): Promise<void> {
  // Windows can't open a folder; NTFS keeps names in its journal.
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
