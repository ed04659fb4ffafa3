import type { Clock } from './clock.ts'
import type { Log } from './log.ts'
import type { Meter } from './metrics.ts'
import type { Rng } from './rng.ts'

/**
 * Signing, verifying and hashing, handed in so that the simulator may use its own clearly named stub signer.
 *
 * @category Environment
 */
export interface NodeCrypto {
  /** This node's ML-DSA-65 public key, 1,952 bytes. */
  readonly publicKey: Uint8Array
  /** ML-DSA-65 over `message` under the empty context: 3,309 bytes. */
  sign(message: Uint8Array): Uint8Array
  /** Whether `signature` is that key's signature of `message`. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
  /** BLAKE3, 32 bytes. */
  hash(bytes: Uint8Array): Uint8Array
  /** BLAKE3 `derive_key`, 32 bytes. */
  deriveKey(context: string, material: Uint8Array): Uint8Array
}

/**
 * The outside world as a service sees it. The same service runs in real and in simulated time.
 *
 * @category Environment
 */
export interface Env {
  readonly clock: Clock
  readonly rng: Rng
  readonly log: Log
  readonly metrics: Meter
  readonly crypto: NodeCrypto
}
