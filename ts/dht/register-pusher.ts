import type { Timer } from '../base/clock.ts'
import type { Env } from '../base/env.ts'
import type { Key } from '../base/identity.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import { outcomeOf } from '../net/tally.ts'
import type { Contacts } from './contacts.ts'
import type { Lease, Leases } from './leases.ts'
import type { RecordShelf } from './record-shelf.ts'
import { pushRegister } from './watch-wire.ts'

/** Pushes under way at once. */
const PUSHES_AT_ONCE = 16
const PUSH_TIMEOUT_MS = 5_000
/** A push that failed is tried again after this, ±25 %, then after twice as long; then its lease ends. */
const RETRY_MS = 5_000
const MAX_FAILURES = 3

/**
 * Pushes what registers say now to those who have leases of them. What changes while a push is under way or waits
 * costs one push more at most: it is always the newest that goes out.
 */
export class RegisterPusher {
  readonly #rpc: RpcPort
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #shelf: RecordShelf
  readonly #leases: Leases
  readonly #ending = new AbortController()
  /** In the order in which they became due. Bounded by the leases. */
  readonly #due = new Set<Lease>()
  /** Bounded by {@link PUSHES_AT_ONCE}. */
  readonly #underWay = new Set<Lease>()
  /** How often the last pushes failed in a row, with the timer of the next. Bounded by the leases. */
  readonly #failed = new Map<Lease, { readonly failures: number; readonly timer: Timer }>()

  constructor(deps: {
    readonly rpc: RpcPort
    readonly env: Env
    readonly contacts: Contacts
    readonly shelf: RecordShelf
    readonly leases: Leases
  }) {
    this.#rpc = deps.rpc
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#leases = deps.leases
  }

  /** The register on a key says something else now. */
  changed(key: Key): void {
    for (const lease of this.#leases.of(key, this.#env.clock.nowMs())) this.#due.add(lease)
    this.#pump()
  }

  stop(): void {
    this.#ending.abort()
    for (const { timer } of this.#failed.values()) timer.cancel()
    this.#failed.clear()
    this.#due.clear()
  }

  #pump(): void {
    for (const lease of this.#due) {
      if (this.#underWay.size >= PUSHES_AT_ONCE || this.#ending.signal.aborted) return
      if (this.#underWay.has(lease)) continue
      this.#due.delete(lease)
      this.#underWay.add(lease)
      void this.#push(lease).finally(() => {
        this.#underWay.delete(lease)
        this.#pump()
      })
    }
  }

  async #push(lease: Lease): Promise<void> {
    const { watcher, key } = lease
    if (!this.#leases.has(lease, this.#env.clock.nowMs())) {
      this.#forget(lease)
      return
    }
    try {
      const record = await this.#shelf.get({ kind: 'REGISTER_POINTER', key })
      if (record === undefined) return
      const request = { sender: this.#contacts.sender(), record }
      // Not by way of the contacts: a watcher need not serve, and says nothing about itself by its answer.
      await this.#rpc.request(watcher, pushRegister, request, {
        signal: this.#ending.signal,
        timeoutMs: PUSH_TIMEOUT_MS,
      })
      this.#count('ok')
      this.#forget(lease)
    } catch (error) {
      if (this.#ending.signal.aborted) return
      const code = outcomeOf(error)
      this.#count(code)
      if (code === 'NOT_FOUND') this.#end(lease)
      else if (isFinal(code)) this.#forget(lease)
      else this.#retry(lease)
    }
  }

  #retry(lease: Lease): void {
    const failures = (this.#failed.get(lease)?.failures ?? 0) + 1
    if (failures >= MAX_FAILURES) {
      this.#end(lease)
      return
    }
    this.#forget(lease)
    const delayMs = RETRY_MS * failures * (0.75 + this.#env.rng.float() / 2)
    const timer = this.#env.clock.setTimer(delayMs, () => {
      this.#due.add(lease)
      this.#pump()
    })
    this.#failed.set(lease, { failures, timer })
  }

  /** The watcher asks for another one, if it is there and still wants to know. */
  #end(lease: Lease): void {
    this.#leases.end(lease)
    this.#forget(lease)
  }

  #forget(lease: Lease): void {
    this.#failed.get(lease)?.timer.cancel()
    this.#failed.delete(lease)
  }

  #count(outcome: string): void {
    this.#env.metrics.counter('registerPushes', { direction: 'outbound', outcome }).add()
  }
}

/** The watcher is there and would refuse it again: it has a newer one, or its clock is wrong. */
function isFinal(code: string): boolean {
  return code === 'RECORD_STALE' || code === 'RECORD_INVALID' || code === 'PROTOCOL_VIOLATION'
}
