import type { NodeCrypto } from '../base/env.ts'
import { deriveKey, hash } from './hash.ts'
import type { Identity } from './key-file.ts'
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES, verify } from './sign.ts'

/** The real primitives under one node's identity. */
export function nodeCrypto(identity: Identity): NodeCrypto {
  return {
    publicKey: identity.publicKey,
    sign: (message) => identity.sign(message),
    // What a peer sent may have any size: a wrong one is a wrong signature, not a mistake of the caller.
    verify: (publicKey, message, signature) =>
      publicKey.byteLength === PUBLIC_KEY_BYTES &&
      signature.byteLength === SIGNATURE_BYTES &&
      verify(publicKey, message, signature),
    hash,
    deriveKey: (context, material) => deriveKey(context, material),
  }
}
