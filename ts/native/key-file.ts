import { nodeIdFromBytes, type NodeId } from '../base/identity.ts'
import { EspalierError } from '../base/error.ts'
import { checkChoice, checkMaker, checkOptions, checkPath, checkText, MAKER } from './check.ts'
import { native } from './error.ts'
import { Handle } from './handle.ts'
import { addon } from './load.ts'
import { runJob } from './queue.ts'
import { PUBLIC_KEY_BYTES, signWithHandle } from './sign.ts'

/**
 * How hard a passphrase is to guess (Argon2id, one lane): `fast` 19 MiB and 2 passes, `default` 64 MiB and 3,
 * `high` 256 MiB and 4.
 *
 * @category Identity
 */
export type Hardness = 'fast' | 'default' | 'high'

/**
 * Where an identity lives.
 *
 * @category Identity
 */
export interface IdentityLocation {
  /** The key file. */
  readonly path: string
  /** 1 to 1,024 bytes in UTF-8. Without it the file is protected by its mode (0600) only. */
  readonly passphrase?: string
}

/**
 * How a new key file is made.
 *
 * @category Identity
 */
export interface IdentityOptions extends IdentityLocation {
  /** Default `default`. */
  readonly hardness?: Hardness
}

/**
 * How a key file is made from words.
 *
 * @category Identity
 */
export interface ImportOptions extends IdentityOptions {
  /** The 24 words that {@link Identity.exportWords} gave. */
  readonly words: string
}

/**
 * Who a node is: one ML-DSA-65 key in one file. The secret stays in native memory; JavaScript sees it only as
 * words, and only when it asks for them.
 *
 * @example
 * ```ts
 * import { Identity } from 'espalier'
 * import { verify } from 'espalier/crypto'
 *
 * const identity = await Identity.create({ path: 'identity.key', passphrase: 'a long one', hardness: 'fast' })
 * const message = Buffer.from('message')
 * console.log(verify(identity.publicKey, message, identity.sign(message))) // true
 *
 * const again = await Identity.open({ path: 'identity.key', passphrase: 'a long one' })
 * console.log(again.id === identity.id) // true
 * ```
 *
 * @category Identity
 */
export class Identity {
  /** BLAKE3 of the public key, as text. */
  readonly id: NodeId
  /** 1,952 bytes. */
  readonly publicKey: Uint8Array
  readonly #path: string
  readonly #handle: Handle
  #isProtected: boolean

  private constructor(maker: symbol, path: string, record: Uint8Array) {
    checkMaker(maker, 'Identity')
    const view = new DataView(record.buffer, record.byteOffset, record.byteLength)
    this.#handle = new Handle(view.getUint32(0, true), 'signingKeyClose', this)
    this.#path = path
    this.#isProtected = view.getUint8(4) === 1
    this.id = nodeIdFromBytes(record.subarray(5, KEY_AT))
    this.publicKey = record.slice(KEY_AT, KEY_AT + PUBLIC_KEY_BYTES)
  }

  /**
   * A fresh identity in a new file. Rejects with `INVALID_STATE` when the file is there already, which it never
   * overwrites; `INVALID_ARGUMENT` when it can't be written there; `STORAGE_FULL`.
   */
  static async create(options: IdentityOptions): Promise<Identity> {
    const { path, passphrase, hardness } = checkNew(options, ['path', 'passphrase', 'hardness'])
    return new Identity(
      MAKER,
      path,
      await runJob((job) => addon().keyFileCreate(job, path, passphrase, hardness)),
    )
  }

  /**
   * The identity of an existing file. Rejects with `NOT_FOUND` without one, `KEY_INVALID` with the cause when it is
   * damaged, of a newer version, unreadable, or the passphrase is missing or wrong. The file is never touched.
   */
  static async open(options: IdentityLocation): Promise<Identity> {
    const { path, passphrase } = checkNew(options, ['path', 'passphrase'])
    return new Identity(MAKER, path, await runJob((job) => addon().keyFileOpen(job, path, passphrase)))
  }

  /** {@link Identity.open}, or {@link Identity.create} when there is no file. */
  static async openOrCreate(options: IdentityOptions): Promise<Identity> {
    const { path, passphrase, hardness } = checkNew(options, ['path', 'passphrase', 'hardness'])
    const place = { path, ...(passphrase === undefined ? {} : { passphrase }) }
    try {
      return await Identity.open(place)
    } catch (error) {
      if (error instanceof EspalierError && error.code === 'NOT_FOUND') {
        return Identity.create({ ...place, hardness })
      }
      throw error
    }
  }

  /** The identity of a seed spelt as words, in a new file. Rejects as {@link Identity.create}, and `KEY_INVALID` for wrong words. */
  static async import(options: ImportOptions): Promise<Identity> {
    const given = checkOptions('options', options, ['path', 'passphrase', 'hardness', 'words'])
    const { words: spelt, ...rest } = given
    const { path, passphrase, hardness } = checkNew(rest as IdentityOptions, [
      'path',
      'passphrase',
      'hardness',
    ])
    const words = checkText('words', spelt, 0, MAX_WORDS_BYTES)
    return new Identity(
      MAKER,
      path,
      await runJob((job) => addon().keyFileImport(job, path, words, passphrase, hardness)),
    )
  }

  /** Whether the file needs a passphrase. */
  get isProtected(): boolean {
    return this.#isProtected
  }

  /** The entry in the native table of signing keys, for the transport. @internal */
  get keyHandle(): number {
    return this.#handle.id
  }

  /** ML-DSA-65 over `message`, hedged, under the empty context: 3,309 bytes. Throws `INVALID_ARGUMENT`, `CLOSED`. */
  sign(message: Uint8Array): Uint8Array {
    return signWithHandle(this.#handle.id, message)
  }

  /** The seed as 24 English words: whoever has them is this node. Throws `CLOSED`. */
  exportWords(): string {
    const id = this.#handle.id
    return native(() => addon().keyWords(id))
  }

  /**
   * Replaces the file by one under another passphrase, or under none with `undefined`; atomically, so that a crash
   * leaves the old or the new one. Rejects as {@link Identity.create}.
   */
  async changePassphrase(
    next: string | undefined,
    options?: { readonly hardness?: Hardness },
  ): Promise<void> {
    const passphrase = checkPassphrase(next)
    const { hardness: given } = checkOptions('options', options, ['hardness'])
    const hardness = checkChoice('hardness', given ?? 'default', HARDNESSES)
    const id = this.#handle.id
    await runJob((job) => addon().keyFileReplace(job, this.#path, id, passphrase, hardness))
    this.#isProtected = passphrase !== undefined
  }

  /** Wipes the secret from memory; the file stays. */
  [Symbol.dispose](): void {
    this.#handle.close()
  }
}

function checkNew<T extends IdentityOptions>(
  options: T,
  known: readonly (keyof T & string)[],
): { readonly path: string; readonly passphrase: string | undefined; readonly hardness: Hardness } {
  const given = checkOptions('options', options, known)
  return {
    path: checkPath(given.path),
    passphrase: checkPassphrase(given.passphrase),
    hardness: checkChoice('hardness', given.hardness ?? 'default', HARDNESSES),
  }
}

function checkPassphrase(value: unknown): string | undefined {
  return value === undefined ? undefined : checkText('passphrase', value, 1, MAX_PASSPHRASE_BYTES)
}

const HARDNESSES: readonly Hardness[] = ['fast', 'default', 'high']
const MAX_PASSPHRASE_BYTES = 1024
const MAX_WORDS_BYTES = 4096
// The record of a key: handle (4), protection (1), node id (32), public key.
const KEY_AT = 4 + 1 + 32
