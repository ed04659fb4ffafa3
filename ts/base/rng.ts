import { randomBytes } from 'node:crypto'

/**
 * Randomness, handed in so that the simulator can replay a run.
 *
 * @category Environment
 */
export interface Rng {
  /** `lengthBytes` fresh bytes. */
  bytes(lengthBytes: number): Uint8Array
  /** Uniform in [0, 1). */
  float(): number
  /** Uniform integer in [0, bound); `bound` from 1 to 2³². */
  below(bound: number): number
}

/** The operating system's generator. */
export const systemRng: Rng = {
  bytes: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  float: () => randomBytes(4).readUInt32LE() / 2 ** 32,
  below: (bound) => Math.floor((randomBytes(6).readUIntLE(0, 6) / 2 ** 48) * bound),
}
