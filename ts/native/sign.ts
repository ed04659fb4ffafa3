import { reading } from '../base/read.ts'
import type { Addon } from './addon.ts'
import {
  checkBytes,
  checkChoice,
  checkFlag,
  checkList,
  checkMaker,
  checkOptionalBytes,
  checkOptions,
  invalid,
  MAKER,
} from './check.ts'
import { native } from './error.ts'
import { Handle } from './handle.ts'
import { addon } from './load.ts'
import { runJob } from './queue.ts'

/**
 * Bytes in a public key (FIPS 204 table 2).
 *
 * @category Signatures
 */
export const PUBLIC_KEY_BYTES = 1952
/**
 * Bytes in a signature (FIPS 204 table 2).
 *
 * @category Signatures
 */
export const SIGNATURE_BYTES = 3309
/**
 * Bytes in the seed ξ of a signing key.
 *
 * @category Signatures
 */
export const SIGNING_SEED_BYTES = 32
/**
 * Most bytes in a context string (FIPS 204 §5.2).
 *
 * @category Signatures
 */
export const MAX_CONTEXT_BYTES = 255

/**
 * Which implementation of ML-DSA-65 works: `aws-lc` (default) or the independent `pqclean`.
 *
 * @category Signatures
 */
export type SignatureProvider = 'aws-lc' | 'pqclean'

/**
 * How to sign.
 *
 * @category Signatures
 */
export interface SignOptions {
  /** Context string, at most 255 bytes; empty by default. Served by RustCrypto whatever the provider. */
  readonly context?: Uint8Array
  /** Without fresh randomness: equal inputs give equal signatures. Default false. Served by RustCrypto. */
  readonly deterministic?: boolean
  /** Serves plain signatures. Default `aws-lc`. */
  readonly provider?: SignatureProvider
}

/**
 * How to verify.
 *
 * @category Signatures
 */
export interface VerifyOptions {
  /** The context string that was signed under; empty by default. */
  readonly context?: Uint8Array
  /** Default `aws-lc`. */
  readonly provider?: SignatureProvider
}

/**
 * One signature to be checked by {@link verifyMany}.
 *
 * @category Signatures
 */
export interface SignedItem {
  readonly publicKey: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
  readonly context?: Uint8Array
}

/**
 * A secret ML-DSA-65 key. The secret stays in native memory and is wiped when the key is disposed or collected.
 *
 * @example
 * ```ts
 * import { SigningKey, verify } from 'espalier/crypto'
 *
 * const key = SigningKey.generate()
 * const message = Buffer.from('message')
 * const signature = key.sign(message)
 * console.log(verify(key.publicKey, message, signature)) // true
 * console.log(verify(key.publicKey, Buffer.from('another'), signature)) // false
 * ```
 *
 * @category Signatures
 */
export class SigningKey {
  /** 1,952 bytes. */
  readonly publicKey: Uint8Array
  readonly #handle: Handle

  private constructor(maker: symbol, make: (addon: Addon, publicKeyOut: Uint8Array) => number) {
    checkMaker(maker, 'SigningKey')
    this.publicKey = new Uint8Array(PUBLIC_KEY_BYTES)
    const id = native(() => make(addon(), this.publicKey))
    this.#handle = new Handle(id, 'signingKeyClose', this)
  }

  /** A key from fresh randomness. Throws `LIMIT_EXCEEDED` beyond 65,536 keys of a thread. */
  static generate(): SigningKey {
    return new SigningKey(MAKER, (native, publicKeyOut) => native.signingKeyGenerate(publicKeyOut))
  }

  /** The key of a 32-byte seed (FIPS 204 algorithm 6). Throws `INVALID_ARGUMENT`, `LIMIT_EXCEEDED`. */
  static fromSeed(seed: Uint8Array): SigningKey {
    checkBytes('seed', seed, SIGNING_SEED_BYTES)
    return new SigningKey(MAKER, (native, publicKeyOut) => native.signingKeyFromSeed(seed, publicKeyOut))
  }

  /** Signs `message`: 3,309 bytes, hedged unless told otherwise. Throws `INVALID_ARGUMENT`, `UNSUPPORTED`, `CLOSED`. */
  sign(message: Uint8Array, options?: SignOptions): Uint8Array {
    return signWithHandle(this.#handle.id, message, options)
  }

  /** Wipes the secret. */
  [Symbol.dispose](): void {
    this.#handle.close()
  }
}

/** Signs with the entry `handle` of the native table. @internal */
export function signWithHandle(handle: number, message: Uint8Array, options?: SignOptions): Uint8Array {
  const out = new Uint8Array(SIGNATURE_BYTES)
  if (options === undefined) {
    checkBytes('message', message)
    native(() => addon().sign(handle, message, out))
    return out
  }
  // First, here and below: a getter of the caller's could take the memory of what was checked away.
  const checked = checkOptions('options', options, ['context', 'deterministic', 'provider'])
  checkBytes('message', message)
  const context = checkOptionalBytes('context', checked.context, CONTEXT_SIZE)
  const deterministic = checkFlag('deterministic', checked.deterministic)
  const provider = checkChoice('provider', checked.provider ?? 'aws-lc', PROVIDERS)
  native(() => addon().signWith(handle, message, context, deterministic, provider, out))
  return out
}

/**
 * Whether `signature` is `publicKey`'s signature of `message`. Throws `INVALID_ARGUMENT` for wrong types and
 * sizes, `UNSUPPORTED` for a provider that this build lacks.
 *
 * @category Signatures
 */
export function verify(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
  options?: VerifyOptions,
): boolean {
  const checked = checkOptions('options', options, ['context', 'provider'])
  checkBytes('publicKey', publicKey, PUBLIC_KEY_BYTES)
  checkBytes('message', message)
  checkBytes('signature', signature, SIGNATURE_BYTES)
  const context = checkOptionalBytes('context', checked.context, CONTEXT_SIZE)
  const provider = checkChoice('provider', checked.provider ?? 'aws-lc', PROVIDERS)
  return native(() => addon().verify(publicKey, message, signature, context, provider))
}

/**
 * Checks up to 65,536 signatures on all cores; one answer for each, in order. Everything is copied before this
 * returns. Rejects with `INVALID_ARGUMENT` for wrong types and sizes.
 *
 * @example
 * ```ts
 * import { SigningKey, verifyMany } from 'espalier/crypto'
 *
 * const key = SigningKey.generate()
 * const { publicKey } = key
 * const items = ['one', 'two', 'three'].map((text) => {
 *   const message = Buffer.from(text)
 *   return { publicKey, message, signature: key.sign(message) }
 * })
 * console.log(await verifyMany(items)) // [ true, true, true ]
 * ```
 *
 * @category Signatures
 */
export async function verifyMany(items: readonly SignedItem[]): Promise<boolean[]> {
  const given = checkList('items', items, MAX_ITEMS).map((item, index) => fieldsOf(item, `items[${index}]`))
  const parts = given.flatMap((fields, index) => checkFields(fields, `items[${index}]`))
  if (parts.length === 0) return []
  const answers = await runJob((job) => addon().verifyMany(job, parts))
  return Array.from(answers, (answer) => answer === 1)
}

function fieldsOf(item: unknown, name: string): Partial<SignedItem> {
  if (typeof item !== 'object' || item === null) throw invalid(name, typeof item, 'an object is needed')
  return reading(name, () => {
    const { publicKey, message, signature, context } = item as SignedItem
    return { publicKey, message, signature, ...(context === undefined ? {} : { context }) }
  })
}

function checkFields(fields: Partial<SignedItem>, name: string): Uint8Array[] {
  const { publicKey, message, signature, context } = fields
  return [
    checkBytes(`${name}.publicKey`, publicKey, PUBLIC_KEY_BYTES),
    checkBytes(`${name}.message`, message),
    checkBytes(`${name}.signature`, signature, SIGNATURE_BYTES),
    checkOptionalBytes(`${name}.context`, context, CONTEXT_SIZE),
  ]
}

const PROVIDERS: readonly SignatureProvider[] = ['aws-lc', 'pqclean']
const CONTEXT_SIZE = { min: 0, max: MAX_CONTEXT_BYTES }
const MAX_ITEMS = 65_536
