import { EspalierError } from '../base/error.ts'
import { addon } from './load.ts'

/** The functions of the addon that free a handle. */
export type CloseName = 'hasherClose' | 'signingKeyClose' | 'decapsulationKeyClose' | 'unlockFile'

/** Owns one entry of a native table; freed by `close`, or after `owner` was collected. */
export class Handle {
  readonly #close: CloseName
  readonly #held: Held
  #closed = false

  constructor(id: number, close: CloseName, owner: object) {
    this.#close = close
    this.#held = { id, close }
    collected.register(owner, this.#held, this.#held)
  }

  /** The number of the entry. Throws `CLOSED` after {@link close}. */
  get id(): number {
    if (this.#closed) throw new EspalierError('CLOSED', `${NAMES[this.#close]} was disposed`)
    return this.#held.id
  }

  /** Frees the entry; again, it does nothing. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    collected.unregister(this.#held)
    addon()[this.#close](this.#held.id)
  }
}

interface Held {
  readonly id: number
  readonly close: CloseName
}

const NAMES: Readonly<Record<CloseName, string>> = {
  hasherClose: 'the hasher',
  signingKeyClose: 'the signing key',
  decapsulationKeyClose: 'the decapsulation key',
  unlockFile: 'the lock',
}

// Bounded by the native tables, which refuse entries beyond their limit.
const collected = new FinalizationRegistry<Held>(({ id, close }) => addon()[close](id))
