import { copyBytes, toHex } from '../base/bytes.ts'
import { keyFromBytes, type Key, type NodeId } from '../base/identity.ts'
import { MAX_LEASE_MS } from './watch-wire.ts'

/** How many leases a node grants. */
export interface LeaseLimits {
  /** In all. Default 8,192, about 4 MB. */
  readonly maxLeases: number
  /** Of one peer. Default 128. */
  readonly maxPerPeer: number
  /** Of one register. Default 256: each change of it costs as many pushes. */
  readonly maxPerRegister: number
}

const DEFAULT_LEASE_LIMITS: LeaseLimits = { maxLeases: 8_192, maxPerPeer: 128, maxPerRegister: 256 }
/** Between two looks through all leases for those that have run out. */
const SWEEP_INTERVAL_MS = 1_000

/** That changes of a register are pushed to a peer for a while. */
export interface Lease {
  readonly watcher: NodeId
  readonly key: Key
}

interface Held extends Lease {
  expiresAtMs: number
}

/** The leases that this node has granted. */
export class Leases {
  readonly #limits: LeaseLimits
  /** By watcher and key. Bounded by `maxLeases`. */
  readonly #all = new Map<string, Held>()
  /** Bounded by the leases: a count of zero is removed. */
  readonly #perPeer = new Map<NodeId, number>()
  /** By key. Bounded by the leases: an empty set is removed. */
  readonly #byKey = new Map<string, Set<Held>>()
  #sweptAtMs = -Infinity

  constructor(limits: Partial<LeaseLimits> = {}) {
    this.#limits = { ...DEFAULT_LEASE_LIMITS, ...limits }
  }

  /** Answers for how long, at most {@link MAX_LEASE_MS}, or nothing when a limit is reached. */
  grant(
    wanted: Lease & { readonly leaseMs: number },
    nowMs: number,
  ): { readonly leaseMs: number; readonly isRenewal: boolean } | undefined {
    const { watcher, key } = wanted
    const leaseMs = Math.min(wanted.leaseMs, MAX_LEASE_MS)
    const known = this.#all.get(nameOf(wanted))
    if (known !== undefined) {
      const isRenewal = known.expiresAtMs > nowMs
      known.expiresAtMs = nowMs + leaseMs
      return { leaseMs, isRenewal }
    }
    if (this.#isFull(wanted)) this.#sweep(nowMs)
    if (this.#isFull(wanted)) return undefined
    // Of its own memory: that of the request may be a part of a buffer 250 times as long.
    const lease = { watcher, key: keyFromBytes(copyBytes(key)), expiresAtMs: nowMs + leaseMs }
    this.#all.set(nameOf(lease), lease)
    this.#perPeer.set(watcher, (this.#perPeer.get(watcher) ?? 0) + 1)
    const ofKey = this.#byKey.get(toHex(key)) ?? new Set()
    this.#byKey.set(toHex(key), ofKey.add(lease))
    return { leaseMs, isRenewal: false }
  }

  /** Answers whether there was one. */
  end(lease: Lease): boolean {
    const held = this.#all.get(nameOf(lease))
    if (held === undefined) return false
    this.#all.delete(nameOf(held))
    const left = (this.#perPeer.get(held.watcher) ?? 0) - 1
    if (left > 0) this.#perPeer.set(held.watcher, left)
    else this.#perPeer.delete(held.watcher)
    const ofKey = this.#byKey.get(toHex(held.key))
    ofKey?.delete(held)
    if (ofKey?.size === 0) this.#byKey.delete(toHex(held.key))
    return true
  }

  /** Those of one register that have not run out. */
  of(key: Key, nowMs: number): readonly Lease[] {
    return [...(this.#byKey.get(toHex(key)) ?? [])].filter(({ expiresAtMs }) => expiresAtMs > nowMs)
  }

  has(lease: Lease, nowMs: number): boolean {
    return (this.#all.get(nameOf(lease))?.expiresAtMs ?? -Infinity) > nowMs
  }

  /** Those that have not run out. */
  count(nowMs: number): number {
    this.#sweptAtMs = -Infinity
    this.#sweep(nowMs)
    return this.#all.size
  }

  #isFull({ watcher, key }: Lease): boolean {
    const { maxLeases, maxPerPeer, maxPerRegister } = this.#limits
    return (
      this.#all.size >= maxLeases ||
      (this.#perPeer.get(watcher) ?? 0) >= maxPerPeer ||
      (this.#byKey.get(toHex(key))?.size ?? 0) >= maxPerRegister
    )
  }

  #sweep(nowMs: number): void {
    if (nowMs < this.#sweptAtMs + SWEEP_INTERVAL_MS) return
    this.#sweptAtMs = nowMs
    for (const lease of this.#all.values()) if (lease.expiresAtMs <= nowMs) this.end(lease)
  }
}

function nameOf({ watcher, key }: Lease): string {
  return `${watcher} ${toHex(key)}`
}
