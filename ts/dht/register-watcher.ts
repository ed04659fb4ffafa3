import { toHex } from '../base/bytes.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { keyOfRecord, type SignedRecord } from '../base/record.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import { outcomeOf } from '../net/tally.ts'
import type { Calls } from './calls.ts'
import type { Contacts } from './contacts.ts'
import type { RegisterChange } from './newest-version.ts'
import { PeerRate } from './peer-rate.ts'
import type { RecordShelf } from './record-shelf.ts'
import { RegisterSubscription } from './register-subscription.ts'
import { RegisterWatch, unasked } from './register-watch.ts'
import type { Search, Wanted } from './search.ts'
import { pushRegister } from './watch-wire.ts'

/** Registers that a node watches at once. */
const MAX_WATCHED = 1_024
/** Pushes of one peer, which may hold leases of all of them: each may cost a signature check. */
const PUSHES = { reason: 'registers', ratePerSecond: 64, burst: 1_024 }

/** The registers that this node watches, and the pushes of others about them. */
export class RegisterWatcher {
  readonly #rpc: RpcPort
  readonly #env: Env
  readonly #calls: Calls
  readonly #contacts: Contacts
  readonly #search: Search
  readonly #shelf: RecordShelf
  readonly #pushes: PeerRate
  /** By key. Bounded by {@link MAX_WATCHED}. */
  readonly #watches = new Map<string, RegisterWatch>()
  #isStopped = false

  constructor(deps: {
    readonly rpc: RpcPort
    readonly env: Env
    readonly calls: Calls
    readonly contacts: Contacts
    readonly search: Search
    readonly shelf: RecordShelf
  }) {
    this.#rpc = deps.rpc
    this.#env = deps.env
    this.#calls = deps.calls
    this.#contacts = deps.contacts
    this.#search = deps.search
    this.#shelf = deps.shelf
    this.#pushes = new PeerRate(deps.env, PUSHES)
  }

  get watchedCount(): number {
    return this.#watches.size
  }

  /** Leases that others have granted to this node. */
  get leaseCount(): number {
    let count = 0
    for (const watch of this.#watches.values()) count += watch.leaseCount
    return count
  }

  /** Takes pushes from now on, and sees what this node keeps itself. */
  start(): void {
    this.#rpc.handle(pushRegister, async ({ sender, record }, caller) => {
      this.#contacts.heard(caller, sender)
      try {
        const isNew = await this.#push(record, caller.id)
        this.#count(isNew ? 'new' : 'known')
        return isNew
      } catch (error) {
        this.#count(outcomeOf(error))
        throw error
      }
    })
    this.#shelf.onKept(({ kind, key }) => {
      const watch = kind === 'REGISTER_POINTER' ? this.#watches.get(toHex(key)) : undefined
      if (watch !== undefined) void this.#takeOwn(watch, key)
    })
  }

  /** A verified record of the register on `key` that this node has read. */
  seen(key: Wanted['key'], record: SignedRecord): void {
    this.#watches.get(toHex(key))?.take(record)
  }

  /** All that is iterated over is done. */
  stop(): void {
    this.#isStopped = true
    for (const watch of this.#watches.values()) watch.stop({ isFarewell: false })
    this.#watches.clear()
  }

  /** The changes of a register; nothing happens before the first is asked for. */
  watch(
    wanted: Wanted,
    options: {
      readonly after: number
      readonly signal: AbortSignal | undefined
      /** The newest verified version that this node has seen. */
      readonly known: () => SignedRecord | undefined
      readonly onNews: (record: SignedRecord) => void
    },
  ): AsyncIterableIterator<RegisterChange, undefined> {
    const { after, signal, known, onNews } = options
    const begin = (subscription: RegisterSubscription): (() => void) => {
      this.#calls.check()
      const name = toHex(wanted.key)
      const watch = this.#watches.get(name) ?? this.#begin(name, { wanted, known: known(), onNews })
      watch.add(subscription)
      return () => {
        watch.delete(subscription)
        if (watch.size > 0 || this.#watches.get(name) !== watch) return
        this.#watches.delete(name)
        watch.stop({ isFarewell: !this.#isStopped })
      }
    }
    return new RegisterSubscription({ after, signal, begin })
  }

  #begin(
    name: string,
    options: {
      readonly wanted: Wanted
      readonly known: SignedRecord | undefined
      readonly onNews: (record: SignedRecord) => void
    },
  ): RegisterWatch {
    if (this.#watches.size >= MAX_WATCHED) {
      throw new EspalierError('LIMIT_EXCEEDED', `a node watches at most ${MAX_WATCHED} registers`)
    }
    const { wanted, known, onNews } = options
    const deps = { env: this.#env, calls: this.#calls, contacts: this.#contacts, search: this.#search }
    const watch = new RegisterWatch(deps, { wanted, onNews })
    this.#watches.set(name, watch)
    watch.start(known)
    return watch
  }

  async #push(record: SignedRecord, from: NodeId): Promise<boolean> {
    this.#pushes.take(from)
    const watch = this.#watches.get(toHex(keyOfRecord(this.#env.crypto, record.body)))
    if (watch === undefined) throw unasked()
    return watch.push(record, from)
  }

  /** It is on this node's own disk, and so was verified. */
  async #takeOwn(watch: RegisterWatch, key: Wanted['key']): Promise<void> {
    try {
      const record = await this.#shelf.get({ kind: 'REGISTER_POINTER', key })
      if (record !== undefined) watch.take(record)
    } catch (error) {
      this.#env.log.warn('a register that this node keeps could not be read', { code: outcomeOf(error) })
    }
  }

  #count(outcome: string): void {
    this.#env.metrics.counter('registerPushes', { direction: 'inbound', outcome }).add()
  }
}
