import { toHex } from '../base/bytes.ts'
import type { NodeCrypto } from '../base/env.ts'
import type { Key } from '../base/identity.ts'
import type { SignedRecord } from '../base/record.ts'
import { compareVersions } from './register.ts'

/** Registers whose last version is remembered, about 4 KB each. */
const MAX_READ = 256

/** The newest verified version of each register that this node has read. */
export class LastRead {
  readonly #crypto: Pick<NodeCrypto, 'hash'>
  /** By key, the latest read last. Bounded by {@link MAX_READ}. */
  readonly #read = new Map<string, SignedRecord>()

  constructor(crypto: Pick<NodeCrypto, 'hash'>) {
    this.#crypto = crypto
  }

  /** Nothing when there is none, or when it has expired. */
  get(key: Key, nowUnixMs: number): SignedRecord | undefined {
    const known = this.#read.get(toHex(key))
    return known !== undefined && known.body.expiresUnixMs > nowUnixMs ? known : undefined
  }

  /** The newer of what is remembered and what is shown now, which is remembered from now on. */
  newest(key: Key, shown: SignedRecord | undefined, nowUnixMs: number): SignedRecord | undefined {
    const known = this.get(key, nowUnixMs)
    const isKnownNewer =
      known !== undefined && (shown === undefined || compareVersions(this.#crypto, known, shown) < 0)
    const newest = isKnownNewer ? known : shown
    this.#read.delete(toHex(key))
    if (newest === undefined) return undefined
    this.#read.set(toHex(key), newest)
    const [oldest] = this.#read.keys()
    if (this.#read.size > MAX_READ && oldest !== undefined) this.#read.delete(oldest)
    return newest
  }
}
