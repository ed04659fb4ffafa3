import type { NodeId } from '../base/identity.ts'
import type { Peer } from './lookup.ts'

/** Leases that a watch wants: half of their holders may die before the next renewal. */
export const WANTED_LEASES = 5
/** A lease is renewed after so much of it. */
const RENEWAL_RATIO = { from: 0.5, to: 0.75 }
/** A shorter lease costs more than it is worth: it counts as a refusal. */
const MIN_LEASE_MS = 60_000
/** Who failed or refused is left alone for this long, ±25 %, and for twice as long each further time … */
const REST_MS = 120_000
/** … up to half an hour for who failed, an hour for who refused. */
const MAX_REST_RATIO = { failed: 16, refused: 32 }

interface Candidate {
  readonly peer: Peer
  isAsking: boolean
  /** −∞ without a lease. */
  leasedUntilMs: number
  renewAtMs: number
  restsUntilMs: number
  /** In a row. */
  failures: number
  isRefusing: boolean
}

/** Decides which of the nodes nearest to a register are asked to push its changes, and when again. */
export class WatchPlan {
  /** The nearest first; those that are no longer among them behind, as long as their leases last. Bounded by both. */
  #candidates = new Map<NodeId, Candidate>()
  #nearest: readonly Candidate[] = []

  /** The nearest that answered a search, nearest first. Who did so is there: it rests no longer, unless it refused. */
  setNearest(peers: readonly Peer[], nowMs: number): void {
    const former = this.#candidates
    this.#nearest = peers.map((peer) => {
      const known = former.get(peer.id)
      if (known === undefined) return fresh(peer)
      if (known.isRefusing || known.failures === 0) return { ...known, peer }
      return { ...known, peer, restsUntilMs: -Infinity, renewAtMs: -Infinity, failures: 0 }
    })
    this.#candidates = new Map(this.#nearest.map((candidate) => [candidate.peer.id, candidate]))
    for (const [id, candidate] of former) {
      const isOfUse = candidate.isAsking || candidate.leasedUntilMs > nowMs
      if (isOfUse && !this.#candidates.has(id)) this.#candidates.set(id, candidate)
    }
  }

  /** Whom to ask now; each is waited for until its outcome is told. */
  due(nowMs: number): Peer[] {
    const asked = this.#chosen(nowMs).filter(({ isAsking, renewAtMs }) => !isAsking && renewAtMs <= nowMs)
    for (const candidate of asked) candidate.isAsking = true
    return asked.map(({ peer }) => peer)
  }

  /** When {@link due} has more, as far as that is known. */
  nextAtMs(nowMs: number): number {
    const chosen = this.#chosen(nowMs)
    const renewals = chosen.filter(({ isAsking }) => !isAsking).map(({ renewAtMs }) => renewAtMs)
    // Who rests now and is nearer than others takes its place again after that.
    const rests = this.#nearest.map(({ restsUntilMs }) => restsUntilMs).filter((atMs) => atMs > nowMs)
    return Math.min(...renewals, ...rests, Infinity)
  }

  /** `random`: 0 to 1. */
  onGranted(
    id: NodeId,
    { leaseMs, nowMs, random }: { readonly leaseMs: number; readonly nowMs: number; readonly random: number },
  ): void {
    if (leaseMs < MIN_LEASE_MS) {
      this.onFailed(id, { isRefusal: true, nowMs, random })
      return
    }
    const { from, to } = RENEWAL_RATIO
    this.#update(id, {
      leasedUntilMs: nowMs + leaseMs,
      renewAtMs: nowMs + leaseMs * (from + (to - from) * random),
      restsUntilMs: -Infinity,
      failures: 0,
      isRefusing: false,
    })
  }

  /** Its lease, if it has one, goes on until it runs out. `random`: 0 to 1. */
  onFailed(
    id: NodeId,
    options: { readonly isRefusal: boolean; readonly nowMs: number; readonly random: number },
  ): void {
    const { isRefusal, nowMs, random } = options
    const failures = (this.#candidates.get(id)?.failures ?? 0) + 1
    const maxRatio = isRefusal ? MAX_REST_RATIO.refused : MAX_REST_RATIO.failed
    const restMs = REST_MS * Math.min(2 ** (failures - 1), maxRatio) * (0.75 + random / 2)
    const restsUntilMs = nowMs + restMs
    this.#update(id, { failures, isRefusing: isRefusal, restsUntilMs, renewAtMs: restsUntilMs })
  }

  /** Whether a peer may push: it has granted a lease that lasts, or is being asked for one. */
  accepts(id: NodeId, nowMs: number): boolean {
    const candidate = this.#candidates.get(id)
    return candidate !== undefined && (candidate.isAsking || candidate.leasedUntilMs > nowMs)
  }

  /** Who has granted a lease that lasts. */
  holders(nowMs: number): readonly Peer[] {
    return [...this.#candidates.values()]
      .filter(({ leasedUntilMs }) => leasedUntilMs > nowMs)
      .map(({ peer }) => peer)
  }

  /** The nearest that do not rest. */
  #chosen(nowMs: number): readonly Candidate[] {
    return this.#nearest.filter(({ restsUntilMs }) => restsUntilMs <= nowMs).slice(0, WANTED_LEASES)
  }

  #update(id: NodeId, change: Partial<Candidate>): void {
    const candidate = this.#candidates.get(id)
    if (candidate !== undefined) Object.assign(candidate, change, { isAsking: false })
  }
}

function fresh(peer: Peer): Candidate {
  return {
    peer,
    isAsking: false,
    leasedUntilMs: -Infinity,
    renewAtMs: -Infinity,
    restsUntilMs: -Infinity,
    failures: 0,
    isRefusing: false,
  }
}
