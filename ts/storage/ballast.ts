import { randomFillSync } from 'node:crypto'
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

const CHUNK_BYTES = 256 * 1024

/**
 * A file that only takes room. On a full disk SQLite can't even delete: removing the ballast gives it
 * what it needs, and until there is room for it again nothing new is accepted.
 */
export class Ballast {
  readonly #path: string
  readonly #sizeBytes: number
  #isThere = false

  /** `sizeBytes` 0 is no ballast at all: `ensure` always succeeds, `release` never helps. */
  constructor(path: string, { sizeBytes }: { readonly sizeBytes: number }) {
    this.#path = path
    this.#sizeBytes = sizeBytes
  }

  /** Puts the file back where it is missing; false when the disk has no room for twice its size. */
  ensure(): boolean {
    if (this.#isThere || this.#sizeBytes === 0) return true
    try {
      if (sizeOf(this.#path) !== this.#sizeBytes) {
        if (freeBytes(dirname(this.#path)) < 2 * this.#sizeBytes) return false
        this.#fill()
      }
      this.#isThere = true
    } catch {
      rmSync(this.#path, { force: true })
    }
    return this.#isThere
  }

  /** Removes the file; false when there was none to remove. */
  release(): boolean {
    const helped = sizeOf(this.#path) > 0
    rmSync(this.#path, { force: true })
    this.#isThere = false
    return helped
  }

  #fill(): void {
    // Random bytes: a file system that compresses would keep zeros in no room.
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, this.#sizeBytes))
    const file = openSync(this.#path, 'w', 0o600)
    try {
      for (let written = 0; written < this.#sizeBytes;) {
        randomFillSync(chunk)
        written += writeSync(file, chunk, 0, Math.min(chunk.byteLength, this.#sizeBytes - written))
      }
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}
