import { concatBytes, equalBytes, toHex } from '../base/bytes.ts'
import type { NodeCrypto } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { Key } from '../base/identity.ts'
import { faultOf, keyOfRecord, type RecordKind, type SignedRecord } from '../base/record.ts'

/** Signatures remembered as good: one covers up to 64 records, and each comes from several holders. */
const MAX_REMEMBERED = 1_024

/** Verifies records; a signature that was good once is not computed again. */
export class Verifier {
  readonly #crypto: NodeCrypto
  /** Hashes of key, statement and signature, the latest last. Bounded by {@link MAX_REMEMBERED}. */
  readonly #good = new Set<string>()

  constructor(crypto: NodeCrypto) {
    // Delegates by hand: an implementation may keep its methods on a prototype.
    this.#crypto = {
      publicKey: crypto.publicKey,
      sign: (message) => crypto.sign(message),
      hash: (bytes) => crypto.hash(bytes),
      deriveKey: (context, material) => crypto.deriveKey(context, material),
      verify: (publicKey, message, signature) => {
        const name = toHex(crypto.hash(concatBytes([publicKey, message, signature])))
        if (this.#good.has(name)) return true
        if (!crypto.verify(publicKey, message, signature)) return false
        this.#remember(name)
        return true
      },
    }
  }

  /** Throws `RECORD_INVALID` unless the record is good now. */
  check(record: SignedRecord, context: { readonly publicKey: Uint8Array; readonly nowUnixMs: number }): void {
    const fault = faultOf(this.#crypto, record, context)
    if (fault !== undefined) {
      throw new EspalierError('RECORD_INVALID', `${record.body.kind} of ${record.body.owner}: ${fault}`)
    }
  }

  /** Throws `RECORD_INVALID` unless the record belongs on this key. */
  checkPlace(record: SignedRecord, place: { readonly kind: RecordKind; readonly key: Key }): void {
    if (record.body.kind !== place.kind || !equalBytes(keyOfRecord(this.#crypto, record.body), place.key)) {
      throw new EspalierError('RECORD_INVALID', `a record of another key in the place of ${place.kind}`)
    }
  }

  #remember(name: string): void {
    this.#good.add(name)
    const [oldest] = this.#good
    if (this.#good.size > MAX_REMEMBERED && oldest !== undefined) this.#good.delete(oldest)
  }
}
