import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { keyOfRecord, type SignedRecord } from '../base/record.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { CallOptions } from '../net/transport.ts'
import type { Calls } from './calls.ts'
import type { Contacts } from './contacts.ts'
import type { PublicKeys } from './public-keys.ts'
import { LastRead } from './last-read.ts'
import type { RegisterChange } from './newest-version.ts'
import type { Publisher } from './publisher.ts'
import type { RecordShelf } from './record-shelf.ts'
import { RegisterHistory } from './register-history.ts'
import { RegisterServer } from './register-server.ts'
import { RegisterWatcher } from './register-watcher.ts'
import { MAX_HISTORY } from './register-wire.ts'
import { encodeRegister, subjectOfName, versionOf, type RegisterVersion } from './register.ts'
import type { Found, Search } from './search.ts'
import type { Verifier } from './verifier.ts'

/** Nodes that must show a register before its highest sequence is believed, where there are so many. */
const ANSWERS = 3
const LIFETIME_MS = 365 * 86_400_000

/** How a register is read. */
export interface ReadOptions extends CallOptions {
  /**
   * `one`: the newest that the first few holders on two paths show. `quorum`: more than half of the nodes
   * that should keep it have shown it, and nothing newer was read before, else `QUORUM_FAILED`. Default `one`.
   */
  readonly consistency?: 'one' | 'quorum'
  /** Eight disjoint paths instead of four. Default false. */
  readonly secure?: boolean
}

interface Deps {
  readonly self: NodeId
  readonly rpc: RpcPort
  readonly env: Env
  readonly contacts: Contacts
  readonly calls: Calls
  readonly search: Search
  readonly publisher: Publisher
  readonly shelf: RecordShelf
  readonly verifier: Verifier
  readonly publicKeys: PublicKeys
}

/** Small named values of one owner each, kept on the nodes nearest to their keys. */
export class Registers {
  readonly #self: NodeId
  readonly #env: Env
  readonly #calls: Calls
  readonly #search: Search
  readonly #publisher: Publisher
  readonly #shelf: RecordShelf
  readonly #history: RegisterHistory
  readonly #server: RegisterServer
  readonly #watcher: RegisterWatcher
  readonly #k: number
  readonly #serves: boolean
  /** Holders that forgot, or that show an old version again, take nothing back that was read. */
  readonly #lastRead: LastRead

  constructor(deps: Deps, options: { readonly k: number; readonly serves: boolean }) {
    this.#self = deps.self
    this.#env = deps.env
    this.#calls = deps.calls
    this.#search = deps.search
    this.#publisher = deps.publisher
    this.#shelf = deps.shelf
    this.#history = new RegisterHistory(deps)
    this.#server = new RegisterServer(deps)
    this.#watcher = new RegisterWatcher(deps)
    this.#lastRead = new LastRead(deps.env.crypto)
    this.#k = options.k
    this.#serves = options.serves
  }

  /** Earlier records of registers that are kept for others now. */
  get supersededCount(): number {
    return this.#shelf.supersededCount
  }

  /**
   * Writes this node's register `name`. Resolves with the sequence that it got and who stored it.
   * Codes: `VALUE_TOO_LARGE` (over 256 bytes), `RECORD_STALE` (`details.sequence` is the current one:
   * another than `expectSequence`, or a rival write won), `QUORUM_FAILED`, `INVALID_ARGUMENT`, `TIMEOUT`.
   */
  async set(
    name: string,
    value: Uint8Array,
    options: CallOptions & {
      /** Write only over this sequence; 0 means that there must be none yet. */
      readonly expectSequence?: number
    },
  ): Promise<{ readonly sequence: number; readonly accepted: readonly NodeId[] }> {
    const place = { kind: 'REGISTER_POINTER', subject: subjectOfName(this.#env.crypto, name) } as const
    const payload = encodeRegister(value)
    return this.#calls.inTurn(place, options, async (signal) => {
      const { expectSequence } = options
      const wanted = this.#wanted(name, this.#self)
      // The last sequence is on disk, and who keeps a newer one says so: a miss need not be made sure of, but where
      // something rests on it.
      const { record } = await this.#search.find(
        expectSequence === undefined ? { ...wanted, maxRestarts: 0 } : wanted,
        { signal },
      )
      // Those who were asked may not know what others keep for this node.
      const stored = Math.max(record?.body.sequence ?? 0, await this.#publisher.publishedSequence(place))
      if (expectSequence !== undefined && expectSequence !== stored) {
        throw new EspalierError('RECORD_STALE', `the register has sequence ${stored}`, {
          details: { sequence: stored },
        })
      }
      const sequence = Math.max(stored, await this.#publisher.lastSequence(place)) + 1
      const expiresUnixMs = this.#env.clock.unixMs() + LIFETIME_MS
      const { accepted } = await this.#publisher.publish(
        { ...place, payload, expiresUnixMs },
        { sequence, signal },
      )
      return { sequence, accepted }
    })
  }

  /**
   * The owner's register `name`, never an older version than this node has read before, of the last 256 names read since
   * it started; nothing when nobody asked has it. Codes: `QUORUM_FAILED` (`details` has `found` and `needed`; also when
   * all that was shown is older), `INVALID_ARGUMENT`, `TIMEOUT`.
   */
  async get(
    name: string,
    { owner, ...options }: ReadOptions & { readonly owner: NodeId },
  ): Promise<RegisterVersion | undefined> {
    const { consistency = 'one', secure = false, ...call } = options
    const wanted = { ...this.#wanted(name, owner), secure }
    return this.#calls.run(call, async (signal) => {
      const enough = consistency === 'one' ? ANSWERS : quorumOf(this.#k)
      const found = await this.#search.find({ ...wanted, enough }, { signal })
      const record = this.#lastRead.newest(wanted.key, found.record, this.#env.clock.unixMs())
      if (record === undefined) return undefined
      this.#watcher.seen(wanted.key, record)
      if (consistency === 'quorum') this.#checkQuorum(record, found)
      return versionOf(record)
    })
  }

  /**
   * What the owner's register `name` says and what it said before, newest first, as far as the nodes that keep it still
   * know: up to `limit` versions (1 to 9, default 9), each verified. Codes: `INVALID_ARGUMENT`, `TIMEOUT`.
   */
  async history(
    name: string,
    {
      owner,
      limit = MAX_HISTORY,
      ...call
    }: CallOptions & { readonly owner: NodeId; readonly limit?: number },
  ): Promise<readonly RegisterVersion[]> {
    const wanted = this.#wanted(name, owner)
    return this.#calls.run(call, async (signal) => {
      const records = await this.#history.read(wanted, { limit, signal })
      return records.map(versionOf)
    })
  }

  /**
   * The owner's register `name` from now on: the newest version that is there, then each newer one as soon as it is
   * heard of, never an older one. A consumer that is slow gets the newest alone. Done when `signal` aborts, when the
   * consumer returns, and when the node stops. Codes: `INVALID_ARGUMENT`; of the first `next`: `LIMIT_EXCEEDED` (1,024
   * registers at once), `CLOSED`, `INVALID_STATE`.
   */
  watch(
    name: string,
    options: {
      readonly owner: NodeId
      /** Only versions with a higher sequence. Default: all. */
      readonly afterSequence?: number
      readonly signal?: AbortSignal
    },
  ): AsyncIterableIterator<RegisterChange, undefined> {
    const { owner, afterSequence = -1, signal } = options
    const wanted = this.#wanted(name, owner)
    const nowUnixMs = (): number => this.#env.clock.unixMs()
    return this.#watcher.watch(wanted, {
      after: afterSequence,
      signal,
      known: () => this.#lastRead.get(wanted.key, nowUnixMs()),
      onNews: (record) => void this.#lastRead.newest(wanted.key, record, nowUnixMs()),
    })
  }

  /** Registers that this node watches. */
  get watchedCount(): number {
    return this.#watcher.watchedCount
  }

  /** Leases that last: those that this node has granted to others, and those that others have granted to it. */
  get leaseCounts(): { readonly granted: number; readonly held: number } {
    return { granted: this.#server.leaseCount, held: this.#watcher.leaseCount }
  }

  /** Takes what others push, and answers them if this node serves. */
  load(): void {
    this.#watcher.start()
    if (this.#serves) this.#server.start()
  }

  /** Everything that watches is done. */
  stop(): void {
    this.#watcher.stop()
    this.#server.stop()
  }

  #wanted(name: string, owner: NodeId) {
    const subject = subjectOfName(this.#env.crypto, name)
    const key = keyOfRecord(this.#env.crypto, { kind: 'REGISTER_POINTER', subject, owner })
    return { kind: 'REGISTER_POINTER', key, owner, enough: ANSWERS, enoughPaths: 2 } as const
  }

  /**
   * Of the nodes that are there as many as keep a record, or all in a small network, more than half have it. Nobody has
   * what this node only remembers.
   */
  #checkQuorum(answer: SignedRecord, { record, holders, closest }: Found): void {
    const found = answer === record ? holders.length : 0
    const needed = quorumOf(Math.min(this.#k, closest.length + (this.#serves ? 1 : 0)))
    if (found >= needed) return
    const message = `${found} nodes showed the register, ${needed} were needed`
    throw new EspalierError('QUORUM_FAILED', message, { details: { found, needed } })
  }
}

function quorumOf(keepers: number): number {
  return Math.floor(keepers / 2) + 1
}
