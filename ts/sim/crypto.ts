import { createHash } from 'node:crypto'
import { equalBytes } from '../base/bytes.ts'
import type { NodeCrypto } from '../base/env.ts'
import { nodeIdFromBytes, type NodeId } from '../base/identity.ts'
import { deriveKey, hash } from '../native/hash.ts'
import type { SeededRng } from './rng.ts'

// FIPS 204, table 2: the sizes of ML-DSA-65.
const PUBLIC_KEY_BYTES = 1_952
const SIGNATURE_BYTES = 3_309

/**
 * NOT a signature scheme: whoever knows the public key can forge. It has the sizes of ML-DSA-65 and
 * costs a thousandth of it, which is what lets the simulator hold thousands of nodes. BLAKE3 is real.
 */
export class StubSigner implements NodeCrypto {
  readonly publicKey: Uint8Array

  constructor(rng: SeededRng) {
    this.publicKey = rng.bytes(PUBLIC_KEY_BYTES)
  }

  get id(): NodeId {
    return nodeIdFromBytes(deriveKey('espalier 2026-11 node id v1', this.publicKey))
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
