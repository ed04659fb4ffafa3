import { EspalierError } from '../base/error.ts'
import { checkBytes, checkInteger, checkList, checkOptions, checkText, invalid } from './check.ts'
import { native } from './error.ts'
import { Handle } from './handle.ts'
import { addon } from './load.ts'

/**
 * Bytes in a digest.
 *
 * @category Hashing
 */
export const DIGEST_BYTES = 32
/**
 * Bytes in the key of a keyed hash.
 *
 * @category Hashing
 */
export const HASH_KEY_BYTES = 32
/**
 * The longest extended output, in bytes.
 *
 * @category Hashing
 */
export const MAX_DIGEST_BYTES = 65_536

/**
 * BLAKE3 of `data`, 32 bytes; from 1 MiB on several threads work. Throws `INVALID_ARGUMENT`.
 *
 * @example
 * ```ts
 * import { hash } from 'espalier/crypto'
 *
 * console.log(Buffer.from(hash(Buffer.from('abc'))).toString('hex').slice(0, 16)) // 6437b3ac38465133
 * ```
 *
 * @category Hashing
 */
export function hash(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(DIGEST_BYTES)
  hashInto(data, out)
  return out
}

/**
 * BLAKE3 of `data` into 32 bytes of `out` from `offset` (default 0): the fast form, which allocates nothing.
 * `out` may overlap `data`. Throws `INVALID_ARGUMENT`.
 *
 * @category Hashing
 */
export function hashInto(data: Uint8Array, out: Uint8Array, offset = 0): void {
  checkBytes('data', data)
  checkBytes('out', out, { min: DIGEST_BYTES, max: Number.MAX_SAFE_INTEGER })
  checkInteger('offset', offset, 0, out.byteLength - DIGEST_BYTES)
  native(() => addon().hashInto(data, out, offset))
}

/**
 * BLAKE3 of every item, in one crossing. Throws `INVALID_ARGUMENT`.
 *
 * @category Hashing
 */
export function hashMany(items: readonly Uint8Array[]): Uint8Array[] {
  const list = checkList('items', items, MAX_ITEMS) as readonly Uint8Array[]
  const digests = new Uint8Array(DIGEST_BYTES * list.length)
  hashManyInto(list, digests)
  return list.map((_, index) => digests.slice(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES))
}

/**
 * As {@link hashMany}, one digest after the other into `out`, 32 bytes for each item, which allocates nothing.
 * Throws `INVALID_ARGUMENT`, also when `out` shares memory with an item.
 *
 * @category Hashing
 */
export function hashManyInto(items: readonly Uint8Array[], out: Uint8Array): void {
  const list = checkList('items', items, MAX_ITEMS).map((item, index) => checkBytes(`items[${index}]`, item))
  checkBytes('out', out, DIGEST_BYTES * list.length)
  native(() => addon().hashMany(list, out))
}

/**
 * Keyed BLAKE3, a MAC: `key` has 32 bytes, so has the result. Throws `INVALID_ARGUMENT`.
 *
 * @category Hashing
 */
export function keyedHash(key: Uint8Array, data: Uint8Array): Uint8Array {
  checkBytes('key', key, HASH_KEY_BYTES)
  checkBytes('data', data)
  return hashWith({ key }, data, DIGEST_BYTES)
}

/**
 * BLAKE3 `derive_key`: `lengthBytes` (1 to 65,536, default 32) from `material` for the purpose that `context`
 * names; a context is a constant of the program. Throws `INVALID_ARGUMENT`.
 *
 * @example
 * ```ts
 * import { deriveKey } from 'espalier/crypto'
 *
 * const key = deriveKey('example.org 2026-11 session key', new Uint8Array(32))
 * console.log(key.byteLength) // 32
 * ```
 *
 * @category Hashing
 */
export function deriveKey(context: string, material: Uint8Array, lengthBytes = DIGEST_BYTES): Uint8Array {
  checkText('context', context, 0, MAX_CONTEXT_BYTES)
  checkBytes('material', material)
  checkInteger('lengthBytes', lengthBytes, 1, MAX_DIGEST_BYTES)
  return hashWith({ context }, material, lengthBytes)
}

/**
 * What a {@link Hasher} computes; without options the plain hash. Not both.
 *
 * @category Hashing
 */
export interface HasherOptions {
  /** For the keyed hash, 32 bytes. */
  readonly key?: Uint8Array
  /** For key derivation: what the key is for. */
  readonly context?: string
}

/**
 * BLAKE3 in pieces. Throws `INVALID_ARGUMENT`.
 *
 * @example
 * ```ts
 * import { createHasher, hash } from 'espalier/crypto'
 *
 * const whole = hash(Buffer.from('an apple tree'))
 * const pieces = createHasher().update(Buffer.from('an apple ')).update(Buffer.from('tree')).digest()
 * console.log(Buffer.from(whole).equals(pieces)) // true
 * ```
 *
 * @category Hashing
 */
export function createHasher(options?: HasherOptions): Hasher {
  const { key, context } = checkOptions('options', options, ['key', 'context'])
  if (key !== undefined && context !== undefined)
    throw invalid('options', 'key and context', 'one of them is allowed')
  const mode: Mode = {
    // A copy: a later change of the caller's array must not change what is computed.
    ...(key === undefined ? {} : { key: Uint8Array.from(checkBytes('key', key, HASH_KEY_BYTES)) }),
    ...(context === undefined ? {} : { context: checkText('context', context, 0, MAX_CONTEXT_BYTES) }),
  }
  return new BufferedHasher(mode)
}

/**
 * Takes its input in pieces. Asking for the digest does not end it: more input may follow.
 *
 * @category Hashing
 */
export interface Hasher {
  /** Adds `data`. Throws `INVALID_ARGUMENT`, and `CLOSED` after disposal. */
  update(data: Uint8Array): this
  /** The digest of everything so far, 1 to 65,536 bytes, default 32. Throws `INVALID_ARGUMENT`, `CLOSED`. */
  digest(lengthBytes?: number): Uint8Array
  /** Frees what it holds; optional, garbage collection does it too. */
  [Symbol.dispose](): void
}

interface Mode {
  readonly key?: Uint8Array
  readonly context?: string
}

/** Short inputs stay here and are hashed in one call, so that they take no native state at all. */
class BufferedHasher implements Hasher {
  readonly #mode: Mode
  #pending = new Uint8Array(0)
  #length = 0
  #handle: Handle | undefined
  #closed = false

  constructor(mode: Mode) {
    this.#mode = mode
  }

  update(data: Uint8Array): this {
    this.#checkOpen()
    checkBytes('data', data)
    if (this.#handle === undefined && this.#length + data.byteLength <= MAX_PENDING_BYTES) this.#keep(data)
    else {
      const handle = this.#native()
      native(() => addon().hasherUpdate(handle.id, data))
    }
    return this
  }

  digest(lengthBytes = DIGEST_BYTES): Uint8Array {
    this.#checkOpen()
    checkInteger('lengthBytes', lengthBytes, 1, MAX_DIGEST_BYTES)
    const handle = this.#handle
    if (handle === undefined)
      return hashWith(this.#mode, this.#pending.subarray(0, this.#length), lengthBytes)
    const out = new Uint8Array(lengthBytes)
    native(() => addon().hasherDigest(handle.id, out))
    return out
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#pending = new Uint8Array(0)
    this.#handle?.close()
  }

  #checkOpen(): void {
    if (this.#closed) throw new EspalierError('CLOSED', 'the hasher was disposed')
  }

  #keep(data: Uint8Array): void {
    const needed = this.#length + data.byteLength
    if (needed > this.#pending.byteLength) {
      const grown = new Uint8Array(
        Math.min(MAX_PENDING_BYTES, Math.max(needed, 2 * this.#pending.byteLength)),
      )
      grown.set(this.#pending.subarray(0, this.#length))
      this.#pending = grown
    }
    this.#pending.set(data, this.#length)
    this.#length = needed
  }

  #native(): Handle {
    if (this.#handle !== undefined) return this.#handle
    const { key, context } = this.#mode
    const id = native(() => addon().hasherOpen(key, context))
    const handle = new Handle(id, 'hasherClose', this)
    native(() => addon().hasherUpdate(id, this.#pending.subarray(0, this.#length)))
    this.#pending = new Uint8Array(0)
    this.#handle = handle
    return handle
  }
}

function hashWith(mode: Mode, data: Uint8Array, lengthBytes: number): Uint8Array {
  const out = new Uint8Array(lengthBytes)
  native(() => addon().hashWith(mode.key, mode.context, data, out))
  return out
}

const MAX_ITEMS = 1 << 20
const MAX_CONTEXT_BYTES = 65_536
// Larger inputs are worth a native state; up to here copying costs less than the two extra crossings.
const MAX_PENDING_BYTES = 4096
