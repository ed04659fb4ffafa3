import { checkBytes, checkChoice, checkOptionalBytes, checkOptions } from './check.ts'
import { EspalierError } from '../base/error.ts'
import { native } from './error.ts'
import { addon } from './load.ts'

/**
 * Bytes in a key.
 *
 * @category Sealing
 */
export const SEAL_KEY_BYTES = 32
/**
 * Bytes that sealing adds.
 *
 * @category Sealing
 */
export const TAG_BYTES = 16
/**
 * Bytes in the nonce of each algorithm.
 *
 * @category Sealing
 */
export const NONCE_BYTES: Readonly<Record<SealAlgorithm, number>> = {
  'xchacha20-poly1305': 24,
  'chacha20-poly1305': 12,
}

/**
 * `xchacha20-poly1305` (default; its nonce is long enough to be drawn at random) or `chacha20-poly1305`
 * (RFC 8439; its nonce must never repeat under a key).
 *
 * @category Sealing
 */
export type SealAlgorithm = 'xchacha20-poly1305' | 'chacha20-poly1305'

/**
 * What to encrypt.
 *
 * @category Sealing
 */
export interface SealRequest {
  /** 32 bytes. */
  readonly key: Uint8Array
  /** 24 bytes, 12 for `chacha20-poly1305`. */
  readonly nonce: Uint8Array
  readonly message: Uint8Array
  /** Authenticated, not encrypted; empty by default. */
  readonly aad?: Uint8Array
  /** Default `xchacha20-poly1305`. */
  readonly algorithm?: SealAlgorithm
}

/**
 * What to decrypt.
 *
 * @category Sealing
 */
export interface OpenRequest {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  /** What {@link seal} gave. */
  readonly sealed: Uint8Array
  readonly aad?: Uint8Array
  readonly algorithm?: SealAlgorithm
}

/**
 * Encrypts: ciphertext ‖ tag, 16 bytes longer than the message. Throws `INVALID_ARGUMENT`.
 *
 * @example
 * ```ts
 * import { randomBytes } from 'node:crypto'
 * import { NONCE_BYTES, open, seal, SEAL_KEY_BYTES } from 'espalier/crypto'
 *
 * const key = randomBytes(SEAL_KEY_BYTES)
 * const nonce = randomBytes(NONCE_BYTES['xchacha20-poly1305'])
 * const sealed = seal({ key, nonce, message: Buffer.from('an apple tree') })
 * console.log(Buffer.from(open({ key, nonce, sealed })).toString()) // an apple tree
 * ```
 *
 * @category Sealing
 */
export function seal(request: SealRequest): Uint8Array {
  const given = checkOptions('request', request, SEAL_KEYS)
  const message = checkBytes('message', given.message, MESSAGE_SIZE)
  const sealed = new Uint8Array(message.byteLength + TAG_BYTES)
  sealChecked(given, message, sealed)
  return sealed
}

/**
 * As {@link seal}, into `out`, which is 16 bytes longer than the message, shares no memory with it, and is
 * reused from message to message: the form for many small ones. Throws `INVALID_ARGUMENT`.
 *
 * @category Sealing
 */
export function sealInto(request: SealRequest, out: Uint8Array): void {
  const given = checkOptions('request', request, SEAL_KEYS)
  sealChecked(given, checkBytes('message', given.message, MESSAGE_SIZE), out)
}

/**
 * Decrypts. Throws `DECRYPT_FAILED` when anything was changed, `INVALID_ARGUMENT` for wrong types and sizes.
 *
 * @category Sealing
 */
export function open(request: OpenRequest): Uint8Array {
  const given = checkOptions('request', request, ['key', 'nonce', 'sealed', 'aad', 'algorithm'])
  const checked = checkBytes('sealed', given.sealed, { min: 0, max: MAX_MESSAGE_BYTES + TAG_BYTES })
  const { extended, key, nonce, aad } = checkCommon(given)
  if (checked.byteLength < TAG_BYTES) {
    throw new EspalierError('DECRYPT_FAILED', 'the sealed bytes are too short to hold a tag')
  }
  const message = new Uint8Array(checked.byteLength - TAG_BYTES)
  native(() => addon().open(extended, key, nonce, aad, checked, message))
  return message
}

function sealChecked(given: Partial<SealRequest>, message: Uint8Array, out: Uint8Array): void {
  const { extended, key, nonce, aad } = checkCommon(given)
  checkBytes('out', out, message.byteLength + TAG_BYTES)
  native(() => addon().seal(extended, key, nonce, aad, message, out))
}

function checkCommon(request: Partial<Omit<OpenRequest, 'sealed'>>): {
  readonly extended: boolean
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  readonly aad: Uint8Array
} {
  const algorithm = checkChoice('algorithm', request.algorithm ?? 'xchacha20-poly1305', ALGORITHMS)
  return {
    extended: algorithm === 'xchacha20-poly1305',
    key: checkBytes('key', request.key, SEAL_KEY_BYTES),
    nonce: checkBytes('nonce', request.nonce, NONCE_BYTES[algorithm]),
    aad: checkOptionalBytes('aad', request.aad),
  }
}

const SEAL_KEYS = ['key', 'nonce', 'message', 'aad', 'algorithm'] as const
const ALGORITHMS: readonly SealAlgorithm[] = ['xchacha20-poly1305', 'chacha20-poly1305']
// What one typed array of every supported Node holds; the cipher itself allows 256 GiB.
const MAX_MESSAGE_BYTES = 2 ** 32 - 1 - 16
const MESSAGE_SIZE = { min: 0, max: MAX_MESSAGE_BYTES }
