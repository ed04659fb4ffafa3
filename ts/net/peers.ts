import type { NodeId } from '../base/identity.ts'
import { formatAddress, type Address } from './address.ts'
import { MAX_ADDRESSES } from './limits.ts'
import { isDialable } from './special-ranges.ts'

const FIRST_BACK_OFF_MS = 1_000
const MAX_BACK_OFF_MS = 30_000

interface Entry {
  /** Best first: the last good one, then the latest ones told that were new. Bounded by MAX_ADDRESSES. */
  addresses: Address[]
  /** Whether the first address has worked, and worked last. */
  isFirstGood: boolean
  /** Dials that failed since the last success. */
  failures: number
  retryAtMs: number
}

/** Where peers can be reached, and when to try again one that could not. Decides only; `rpc.ts` dials. */
export class Peers {
  readonly #maxPeers: number
  readonly #allowPrivate: boolean
  /** Bounded by `maxPeers`; in the order of use, the least recently used first. */
  readonly #entries = new Map<NodeId, Entry>()

  constructor(options: { readonly maxPeers: number; readonly allowPrivate: boolean }) {
    this.#maxPeers = options.maxPeers
    this.#allowPrivate = options.allowPrivate
  }

  get size(): number {
    return this.#entries.size
  }

  /** Best first; empty for an unknown peer. */
  addressesOf(id: NodeId): readonly Address[] {
    return this.#entries.get(id)?.addresses ?? []
  }

  /**
   * Takes what a peer or a record says. What may not be dialled is dropped. A new address ends the
   * back-off: the failures were those of other addresses.
   */
  learn(id: NodeId, addresses: readonly Address[]): void {
    const known = this.#entries.get(id)?.addresses
    // Most of what is told is known: every request names its peer's addresses.
    if (known !== undefined && addresses.every((address) => includes(known, address))) {
      this.#touch(id)
      return
    }
    const dialable = addresses
      .slice(0, MAX_ADDRESSES)
      .filter((address) => isDialable(address, { allowPrivate: this.#allowPrivate }))
    if (dialable.length === 0) return
    const entry = this.#touch(id)
    const isNew = dialable.some((address) => !includes(entry.addresses, address))
    const good = entry.addresses.slice(0, entry.isFirstGood ? 1 : 0)
    entry.addresses = distinct([...good, ...dialable, ...entry.addresses]).slice(0, MAX_ADDRESSES)
    if (isNew) entry.retryAtMs = 0
  }

  /** A handshake from or to `address` succeeded: it comes first, and the failures are forgotten. */
  succeeded(id: NodeId, address: Address): void {
    const entry = this.#touch(id)
    entry.addresses = distinct([address, ...entry.addresses]).slice(0, MAX_ADDRESSES)
    entry.isFirstGood = true
    entry.failures = 0
    entry.retryAtMs = 0
  }

  /** No address of the peer answered: it rests for 1 s, doubling with each failure up to 30 s. */
  failed(id: NodeId, nowMs: number): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    entry.retryAtMs = nowMs + Math.min(MAX_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** entry.failures)
    entry.failures = Math.min(entry.failures + 1, 16)
    // What is told from now on comes first.
    entry.isFirstGood = false
  }

  /** Milliseconds until the peer may be dialled again; 0 when it may be now. */
  restMs(id: NodeId, nowMs: number): number {
    return Math.max(0, (this.#entries.get(id)?.retryAtMs ?? 0) - nowMs)
  }

  forget(id: NodeId): void {
    this.#entries.delete(id)
  }

  #touch(id: NodeId): Entry {
    const entry = this.#entries.get(id) ?? { addresses: [], isFirstGood: false, failures: 0, retryAtMs: 0 }
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    if (this.#entries.size > this.#maxPeers) {
      const [oldest] = this.#entries.keys()
      if (oldest !== undefined) this.#entries.delete(oldest)
    }
    return entry
  }
}

function includes(addresses: readonly Address[], address: Address): boolean {
  return addresses.some(({ host, port }) => host === address.host && port === address.port)
}

function distinct(addresses: readonly Address[]): Address[] {
  return [...new Map(addresses.map((address) => [formatAddress(address), address])).values()]
}
