import { createHash } from 'node:crypto'
import { equalBytes } from '../base/bytes.ts'
import type { NodeCrypto } from '../base/env.ts'
import { keyFromBytes, nodeIdFromBytes, type Key, type NodeId } from '../base/identity.ts'
import { commonPrefixBits } from '../dht/key.ts'
import { deriveKey, hash } from '../native/hash.ts'
import type { SeededRng } from './rng.ts'

// FIPS 204, table 2: the sizes of ML-DSA-65.
const PUBLIC_KEY_BYTES = 1_952
const SIGNATURE_BYTES = 3_309

/** Where an id is wanted: it shares the first `bits` (0 to about 20) with `key`. */
export interface Ground {
  readonly key: Key
  readonly bits: number
}

/**
 * NOT a signature scheme: whoever knows the public key can forge. It has the sizes of ML-DSA-65 and
 * costs a thousandth of it, which is what lets the simulator hold thousands of nodes. BLAKE3 is real.
 */
export class StubSigner implements NodeCrypto {
  readonly publicKey: Uint8Array

  /** `near` draws keys until the id shares so many first bits with a key: 2 to the power of `bits` of them, on average. */
  constructor(rng: SeededRng, near?: Ground) {
    this.publicKey = rng.bytes(PUBLIC_KEY_BYTES)
    while (near !== undefined && commonPrefixBits(this.#key, near.key) < near.bits) {
      this.publicKey.set(rng.bytes(8))
    }
  }

  get id(): NodeId {
    return nodeIdFromBytes(this.#key)
  }

  get #key(): Key {
    return keyFromBytes(deriveKey('espalier 2026-11 node id v1', this.publicKey))
  }

  sign(message: Uint8Array): Uint8Array {
    return stubSignature(this.publicKey, message)
  }

  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
    return (
      publicKey.byteLength === PUBLIC_KEY_BYTES && equalBytes(stubSignature(publicKey, message), signature)
    )
  }

  hash(bytes: Uint8Array): Uint8Array {
    return hash(bytes)
  }

  deriveKey(context: string, material: Uint8Array): Uint8Array {
    return deriveKey(context, material)
  }
}

function stubSignature(publicKey: Uint8Array, message: Uint8Array): Uint8Array {
  const tag = createHash('sha256').update('stub signature').update(publicKey).update(message).digest()
  const signature = new Uint8Array(SIGNATURE_BYTES)
  signature.set(tag)
  return signature
}
