import type { Env } from '../base/env.ts'
import { keyOfNode, type NodeId } from '../base/identity.ts'
import { nodeIdOf } from '../base/record.ts'
import type { Store } from '../storage/store.ts'

/** Keys kept in memory, 1 MB. */
const MAX_CACHED = 512

/** Public keys by NodeId: this node's own, those of stored records, and lately fetched ones. */
export class PublicKeys {
  readonly #store: Store
  readonly #own: { readonly id: NodeId; readonly publicKey: Uint8Array }
  readonly #crypto: Env['crypto']
  /** The latest used last. Bounded by {@link MAX_CACHED}. */
  readonly #cached = new Map<NodeId, Uint8Array>()
  /** One for each shelf. */
  readonly #needs: ((id: NodeId) => boolean)[] = []

  constructor(deps: { readonly store: Store; readonly env: Env }, own: NodeId) {
    this.#store = deps.store
    this.#crypto = deps.env.crypto
    this.#own = { id: own, publicKey: deps.env.crypto.publicKey }
  }

  async get(id: NodeId): Promise<Uint8Array | undefined> {
    if (id === this.#own.id) return this.#own.publicKey
    const cached = this.#cached.get(id)
    if (cached !== undefined) return cached
    return (await this.#store.get('publicKeys', keyOfNode(id)))?.value
  }

  /** Takes a key that was proved to be the node's. */
  remember(id: NodeId, publicKey: Uint8Array): void {
    this.#cached.delete(id)
    this.#cached.set(id, publicKey)
    const [oldest] = this.#cached.keys()
    if (this.#cached.size > MAX_CACHED && oldest !== undefined) this.#cached.delete(oldest)
  }

  /** Whether a key that someone sent is the node's; a true one is remembered. */
  admit(id: NodeId, publicKey: Uint8Array): boolean {
    if (nodeIdOf(this.#crypto, publicKey) !== id) return false
    this.remember(id, publicKey)
    return true
  }

  /** A shelf that writes keys of owners tells by `isNeeded` for how long. */
  neededBy(isNeeded: (id: NodeId) => boolean): void {
    this.#needs.push(isNeeded)
  }

  /** A shelf has nothing of this owner any more: the key on disk goes unless another shelf needs it. */
  async release(id: NodeId): Promise<void> {
    if (this.#needs.some((isNeeded) => isNeeded(id))) return
    await this.#store.write([{ table: 'publicKeys', key: keyOfNode(id), value: undefined }])
  }
}
