import { compareBytes } from '../base/bytes.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { Contacts } from './contacts.ts'
import { Leases } from './leases.ts'
import { PeerRate } from './peer-rate.ts'
import type { RecordShelf } from './record-shelf.ts'
import { RegisterPusher } from './register-pusher.ts'
import { getHistory } from './register-wire.ts'
import { endLease, leaseRegister, type LeaseRequest, type LeaseResponse } from './watch-wire.ts'

/** Histories: each answer reads up to nine rows, and has up to 37 KB. */
const HISTORIES = { reason: 'registers', ratePerSecond: 32, burst: 128 }
/** Leases asked for and ended: each reads a row. */
const LEASES = { reason: 'registers', ratePerSecond: 32, burst: 256 }

/** Answers what other nodes ask about registers, beside the records themselves, and pushes changes to watchers. */
export class RegisterServer {
  readonly #rpc: RpcPort
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #shelf: RecordShelf
  readonly #histories: PeerRate
  readonly #leaseRate: PeerRate
  readonly #leases = new Leases()
  readonly #pusher: RegisterPusher

  constructor(deps: {
    readonly rpc: RpcPort
    readonly env: Env
    readonly contacts: Contacts
    readonly shelf: RecordShelf
  }) {
    this.#rpc = deps.rpc
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#histories = new PeerRate(deps.env, HISTORIES)
    this.#leaseRate = new PeerRate(deps.env, LEASES)
    this.#pusher = new RegisterPusher({ ...deps, leases: this.#leases })
  }

  /** Leases that were granted and last. */
  get leaseCount(): number {
    return this.#leases.count(this.#env.clock.nowMs())
  }

  /** Only a node that serves does this. */
  start(): void {
    this.#rpc.handle(getHistory, async ({ sender, key, earlier }, caller) => {
      this.#contacts.heard(caller, sender)
      this.#histories.take(caller.id)
      const records = await this.#shelf.history(key)
      return records.slice(0, 1 + earlier)
    })
    this.#rpc.handle(leaseRegister, async (request, caller) => {
      this.#contacts.heard(caller, request.sender)
      this.#leaseRate.take(caller.id)
      return this.#lease(request, caller.id)
    })
    this.#rpc.handle(endLease, ({ sender, key }, caller) => {
      this.#contacts.heard(caller, sender)
      this.#leaseRate.take(caller.id)
      const wasThere = this.#leases.end({ watcher: caller.id, key })
      if (wasThere) this.#count('ended')
      return wasThere
    })
    this.#shelf.onKept(({ kind, key }) => {
      if (kind === 'REGISTER_POINTER') this.#pusher.changed(key)
    })
  }

  stop(): void {
    this.#pusher.stop()
  }

  async #lease({ key, leaseMs, known }: LeaseRequest, watcher: NodeId): Promise<LeaseResponse> {
    const granted = this.#leases.grant({ watcher, key, leaseMs }, this.#env.clock.nowMs())
    if (granted === undefined) {
      this.#count('LIMIT_EXCEEDED')
      throw new EspalierError('LIMIT_EXCEEDED', 'no lease is left')
    }
    this.#count(granted.isRenewal ? 'renewed' : 'granted')
    const entry = this.#shelf.entryOn({ kind: 'REGISTER_POINTER', key })
    const isKnown = entry !== undefined && known !== undefined && compareBytes(entry.bodyHash, known) === 0
    // A change from now on is pushed.
    const record = entry === undefined || isKnown ? undefined : await this.#shelf.get(entry)
    return { leaseMs: granted.leaseMs, record }
  }

  #count(outcome: string): void {
    this.#env.metrics.counter('leaseRequests', { outcome }).add()
  }
}
