/**
 * The cryptographic core by itself: BLAKE3, ML-DSA-65, ML-KEM-768, XChaCha20-Poly1305, verified streaming and erasure
 * coding, all native. It needs no node and no network. Begin with {@link hash} or {@link SigningKey}.
 *
 * @module espalier/crypto
 */
export { EspalierError, type ErrorCode, type ErrorDetails } from './base/error.ts'
export {
  createHasher,
  deriveKey,
  DIGEST_BYTES,
  hash,
  HASH_KEY_BYTES,
  hashInto,
  hashMany,
  hashManyInto,
  type Hasher,
  type HasherOptions,
  keyedHash,
  MAX_DIGEST_BYTES,
} from './native/hash.ts'
export {
  MAX_CONTEXT_BYTES,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  type SignatureProvider,
  type SignedItem,
  SIGNING_SEED_BYTES,
  SigningKey,
  type SignOptions,
  verify,
  verifyMany,
  type VerifyOptions,
} from './native/sign.ts'
export {
  CIPHERTEXT_BYTES,
  DECAPSULATION_SEED_BYTES,
  DecapsulationKey,
  encapsulate,
  type Encapsulated,
  ENCAPSULATION_KEY_BYTES,
  SHARED_SECRET_BYTES,
} from './native/kem.ts'
export {
  NONCE_BYTES,
  open,
  type OpenRequest,
  seal,
  sealInto,
  SEAL_KEY_BYTES,
  type SealAlgorithm,
  type SealRequest,
  TAG_BYTES,
} from './native/seal.ts'
export {
  extractSlice,
  type Outboard,
  outboard,
  type SliceClaim,
  type SliceRange,
  verifySlice,
} from './native/verified.ts'
export { ErasureCoder, MAX_SHARD_BYTES, MAX_SHARDS, type ShardLayout } from './native/erasure.ts'
