import type { Timer } from '../base/clock.ts'
import type { Env } from '../base/env.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { CallOptions } from '../net/transport.ts'
import type { Row, Store } from '../storage/store.ts'
import type { Calls } from './calls.ts'
import type { Contacts } from './contacts.ts'
import { copyOfId, idSetOf } from './provider-issue.ts'
import { ProviderLedger } from './provider-ledger.ts'
import { ProviderPublisher, type Announcement } from './provider-publisher.ts'
import type { ProviderPlan } from './provider-plan.ts'
import { ProviderReader, type Provider } from './provider-reader.ts'
import { ProviderSearch } from './provider-search.ts'
import { ProviderServer } from './provider-server.ts'
import { ProviderShelf } from './provider-shelf.ts'
import type { PublicKeys } from './public-keys.ts'
import type { Publisher } from './publisher.ts'
import type { Search } from './search.ts'
import type { Verifier } from './verifier.ts'

/** Between two looks at whether an announcement is due, ±25 %. */
const KEEP_INTERVAL_MS = 30_000
const KEEP_TIMEOUT_MS = 600_000

/**
 * Which provider is to be asked for which children.
 *
 * @category Providers
 */
export interface ProviderAssignments extends ProviderPlan {
  readonly providers: ReadonlyMap<NodeId, Provider>
}

interface Deps {
  readonly self: NodeId
  readonly rpc: RpcPort
  readonly env: Env
  readonly store: Store
  readonly contacts: Contacts
  readonly search: Search
  readonly publisher: Publisher
  readonly verifier: Verifier
  readonly publicKeys: PublicKeys
  readonly calls: Calls
}

interface Options {
  readonly serves: boolean
  readonly k: number
  readonly republishIntervalMs: number
  readonly ownAddresses: () => readonly Address[]
}

/**
 * Who has which children of a root (Root-Scoped Provider Summaries): announces what this node has, and keeps the
 * announcements of others.
 */
export class Providers {
  readonly #env: Env
  readonly #calls: Calls
  readonly #serves: boolean
  readonly #shelf: ProviderShelf
  readonly #ledger: ProviderLedger
  readonly #publisher: ProviderPublisher
  readonly #server: ProviderServer
  readonly #reader: ProviderReader
  /** Runs while there is anything to keep alive. */
  #timer: Timer | undefined
  #isRunning = false

  constructor(deps: Deps, options: Options) {
    this.#env = deps.env
    this.#calls = deps.calls
    this.#serves = options.serves
    const shelf = new ProviderShelf(deps)
    const ledger = new ProviderLedger(deps)
    const publisher = new ProviderPublisher({ ...deps, shelf, ledger }, options)
    this.#shelf = shelf
    this.#ledger = ledger
    this.#publisher = publisher
    this.#reader = new ProviderReader({ ...deps, search: new ProviderSearch({ ...deps, shelf }) })
    this.#server = new ProviderServer({ ...deps, shelf, ledger, publisher }, options)
  }

  /** Announcements of others that this node keeps. */
  get keptCount(): number {
    return this.#shelf.size
  }

  /** Memory of roots, their providers and the summaries of others, in bytes. */
  get cachedBytes(): number {
    return this.#reader.cachedBytes
  }

  /** Roots that this node announces. */
  get announcedCount(): number {
    return this.#ledger.size
  }

  /**
   * States that this node has the children `ids` of `root`, all 32 bytes long, and no others: one signed record on
   * the k nodes nearest to the root, while this node runs and from its next start on, until it is withdrawn. Up
   * to 64 ids more than last time cost no request; any other change issues a new summary. At most 1,048,576 ids
   * of a root, 4,194,304 of 2,048 roots. Codes: `INVALID_ARGUMENT`, `UNSUPPORTED` (a client, which nobody can
   * ask), `LIMIT_EXCEEDED`, `QUORUM_FAILED` (no node took it; it is offered again by itself), `STORAGE_FULL`,
   * `TIMEOUT`, `ABORTED`.
   */
  async announce(
    root: Uint8Array,
    ids: Iterable<Uint8Array>,
    options: CallOptions = {},
  ): Promise<Announcement> {
    if (!this.#serves) throw new EspalierError('UNSUPPORTED', 'a client has nothing that others could fetch')
    const subject = copyOfId(root, 'root')
    const set = idSetOf(ids)
    try {
      return await this.#calls.inTurn({ kind: 'PROVIDER', subject }, options, (signal) =>
        this.#publisher.announce(subject, set, signal),
      )
    } finally {
      this.#schedule()
    }
  }

  /**
   * Takes the announcement of a root back; answers whether there was one. A node that can't be reached keeps it
   * until it expires. Codes: `INVALID_ARGUMENT`, `STORAGE_FULL`, `TIMEOUT`, `ABORTED`.
   */
  async withdraw(root: Uint8Array, options: CallOptions = {}): Promise<boolean> {
    const subject = copyOfId(root, 'root')
    return this.#calls.inTurn({ kind: 'PROVIDER', subject }, options, (signal) =>
      this.#publisher.withdraw(subject, signal),
    )
  }

  /**
   * The providers that claim the child `id` of `root`, of whom the least named comes first; none when nobody is
   * known to have it. The network is asked once for a root, each provider once for its summary: later children
   * of the same root cost no look-up. One of 2,048 answers is a false yes; tell {@link missed} of it. Codes:
   * `INVALID_ARGUMENT`, `TIMEOUT`, `ABORTED`.
   */
  async find(
    id: Uint8Array,
    { root, ...call }: CallOptions & { readonly root: Uint8Array },
  ): Promise<readonly Provider[]> {
    const [child, parent] = [copyOfId(id, 'id'), copyOfId(root, 'root')]
    return this.#calls.run(call, (signal) => this.#reader.find(parent, child, signal))
  }

  /**
   * Whom to ask for which of the children `ids` of `root`, so that nobody has much more to serve than the others:
   * the ids of each provider, where the providers are, and the ids that nobody claims. Codes as {@link find}.
   */
  async plan(
    ids: Iterable<Uint8Array>,
    { root, ...call }: CallOptions & { readonly root: Uint8Array },
  ): Promise<ProviderAssignments> {
    const [children, parent] = [[...idSetOf(ids).values()], copyOfId(root, 'root')]
    return this.#calls.run(call, (signal) => this.#reader.plan(parent, children, signal))
  }

  /**
   * A provider did not have a child that it claims: it is not named for it again until it makes a new summary.
   * Answers whether chance no longer explains its misses; then it is named for nothing any more. Code:
   * `INVALID_ARGUMENT`.
   */
  missed(
    id: Uint8Array,
    { root, provider }: { readonly root: Uint8Array; readonly provider: NodeId },
  ): boolean {
    return this.#reader.missed(copyOfId(root, 'root'), { provider, id: copyOfId(id, 'id') })
  }

  /** Reads what is on disk, then answers others. */
  async load(): Promise<void> {
    await this.#shelf.load()
    await this.#ledger.load()
    if (this.#serves) this.#server.start()
  }

  /** From now on announcements are kept alive. */
  start(): void {
    this.#isRunning = true
    this.#schedule()
  }

  stop(): void {
    this.#isRunning = false
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** An expired row of `records` was deleted. */
  async forget(row: Row): Promise<void> {
    await this.#shelf.forget(row)
  }

  #schedule(): void {
    if (!this.#isRunning || this.#timer !== undefined || this.#ledger.size === 0) return
    // Nodes that started together shall not act together.
    const delayMs = KEEP_INTERVAL_MS * (0.75 + this.#env.rng.float() / 2)
    this.#timer = this.#env.clock.setTimer(delayMs, () => {
      this.#calls.inBackground('keeping announcements', KEEP_TIMEOUT_MS, async (signal) => {
        try {
          await this.#keep(signal)
        } finally {
          this.#timer = undefined
          this.#schedule()
        }
      })
    })
  }

  /** One after the other; what fails is tried again at the next look. */
  async #keep(signal: AbortSignal): Promise<void> {
    for (const subject of this.#publisher.due()) {
      try {
        await this.#calls.inTurn({ kind: 'PROVIDER', subject }, { signal }, (turn) =>
          this.#publisher.keep(subject, turn),
        )
      } catch (error) {
        signal.throwIfAborted()
        const { code, message } = toEspalierError(error, 'INVALID_STATE', 'an announcement')
        this.#env.log.warn('an announcement was not kept alive', { code, message })
      }
    }
  }
}
