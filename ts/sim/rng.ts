import { createHash } from 'node:crypto'
import type { Rng } from '../base/rng.ts'

/**
 * Reproducible randomness (Doty-Humphrey's sfc32). `split` gives an independent generator for a label
 * without drawing from this one, so that one more draw in one place moves nothing elsewhere.
 *
 * @category Simulator
 */
export class SeededRng implements Rng {
  readonly seed: string
  readonly #state: Uint32Array

  constructor(seed: string) {
    this.seed = seed
    const digest = createHash('sha256').update(seed).digest()
    this.#state = Uint32Array.from([0, 4, 8, 12], (at) => digest.readUInt32LE(at))
  }

  /** An independent generator: equal labels give equal ones. */
  split(label: string | number): SeededRng {
    return new SeededRng(`${this.seed}/${label}`)
  }

  float(): number {
    return this.#word() / 2 ** 32
  }

  below(bound: number): number {
    // 53 bits, so that the bias stays below 2⁻²¹ for every bound that `Rng` allows.
    const fraction = ((this.#word() >>> 5) * 2 ** 26 + (this.#word() >>> 6)) / 2 ** 53
    return Math.floor(fraction * bound)
  }

  bytes(lengthBytes: number): Uint8Array {
    const bytes = new Uint8Array(lengthBytes)
    for (let at = 0; at < lengthBytes; at += 4) {
      let word = this.#word()
      for (let index = at; index < Math.min(at + 4, lengthBytes); index += 1) {
        bytes[index] = word & 255
        word >>>= 8
      }
    }
    return bytes
  }

  #word(): number {
    const [a = 0, b = 0, c = 0, counter = 0] = this.#state
    const sum = (a + b + counter) >>> 0
    this.#state[3] = counter + 1
    this.#state[0] = b ^ (b >>> 9)
    this.#state[1] = c + (c << 3)
    this.#state[2] = ((c << 21) | (c >>> 11)) + sum
    return sum
  }
}
