import type { Addon } from './addon.ts'
import { checkBytes, checkMaker, MAKER } from './check.ts'
import { native } from './error.ts'
import { Handle } from './handle.ts'
import { addon } from './load.ts'

/**
 * Bytes in an encapsulation key (FIPS 203 table 3).
 *
 * @category Key encapsulation
 */
export const ENCAPSULATION_KEY_BYTES = 1184
/**
 * Bytes in a ciphertext (FIPS 203 table 3).
 *
 * @category Key encapsulation
 */
export const CIPHERTEXT_BYTES = 1088
/**
 * Bytes in a shared secret.
 *
 * @category Key encapsulation
 */
export const SHARED_SECRET_BYTES = 32
/**
 * Bytes in the seed d ‖ z of a decapsulation key.
 *
 * @category Key encapsulation
 */
export const DECAPSULATION_SEED_BYTES = 64

/**
 * What {@link encapsulate} gives.
 *
 * @category Key encapsulation
 */
export interface Encapsulated {
  /** For the owner of the key, 1,088 bytes. */
  readonly ciphertext: Uint8Array
  /** What both sides then share, 32 bytes. */
  readonly sharedSecret: Uint8Array
}

/**
 * A secret ML-KEM-768 key. It stays in native memory and is wiped when disposed or collected.
 *
 * @example
 * ```ts
 * import { DecapsulationKey, encapsulate } from 'espalier/crypto'
 *
 * const key = DecapsulationKey.generate()
 * const { ciphertext, sharedSecret } = encapsulate(key.encapsulationKey)
 * console.log(Buffer.from(sharedSecret).equals(key.decapsulate(ciphertext))) // true
 * ```
 *
 * @category Key encapsulation
 */
export class DecapsulationKey {
  /** The public half, 1,184 bytes. */
  readonly encapsulationKey: Uint8Array
  readonly #handle: Handle

  private constructor(maker: symbol, make: (addon: Addon, encapsulationKeyOut: Uint8Array) => number) {
    checkMaker(maker, 'DecapsulationKey')
    this.encapsulationKey = new Uint8Array(ENCAPSULATION_KEY_BYTES)
    const id = native(() => make(addon(), this.encapsulationKey))
    this.#handle = new Handle(id, 'decapsulationKeyClose', this)
  }

  /** A key from fresh randomness. Throws `LIMIT_EXCEEDED` beyond 65,536 keys of a thread. */
  static generate(): DecapsulationKey {
    return new DecapsulationKey(MAKER, (native, out) => native.decapsulationKeyGenerate(out))
  }

  /** The key of a 64-byte seed d ‖ z (FIPS 203 algorithm 16). Throws `INVALID_ARGUMENT`, `LIMIT_EXCEEDED`. */
  static fromSeed(seed: Uint8Array): DecapsulationKey {
    checkBytes('seed', seed, DECAPSULATION_SEED_BYTES)
    return new DecapsulationKey(MAKER, (native, out) => native.decapsulationKeyFromSeed(seed, out))
  }

  /**
   * The shared secret of a ciphertext, 32 bytes. A changed ciphertext gives a secret that nobody else knows
   * (implicit rejection, FIPS 203 §6.3). Throws `INVALID_ARGUMENT`, `CLOSED`.
   */
  decapsulate(ciphertext: Uint8Array): Uint8Array {
    const id = this.#handle.id
    checkBytes('ciphertext', ciphertext, CIPHERTEXT_BYTES)
    const out = new Uint8Array(SHARED_SECRET_BYTES)
    native(() => addon().decapsulate(id, ciphertext, out))
    return out
  }

  /** Wipes the secret. */
  [Symbol.dispose](): void {
    this.#handle.close()
  }
}

/**
 * A fresh shared secret for the owner of `encapsulationKey`. Throws `INVALID_ARGUMENT` for a wrong size,
 * `KEY_INVALID` for a key whose coefficients are not reduced (FIPS 203 §7.2).
 *
 * @category Key encapsulation
 */
export function encapsulate(encapsulationKey: Uint8Array): Encapsulated {
  checkBytes('encapsulationKey', encapsulationKey, ENCAPSULATION_KEY_BYTES)
  const ciphertext = new Uint8Array(CIPHERTEXT_BYTES)
  const sharedSecret = new Uint8Array(SHARED_SECRET_BYTES)
  native(() => addon().encapsulate(encapsulationKey, ciphertext, sharedSecret))
  return { ciphertext, sharedSecret }
}
