import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, type Key, type NodeId } from '../base/identity.ts'
import type { RecordKind, SignedRecord } from '../base/record.ts'
import { outcomeOf } from '../net/tally.ts'
import type { Contacts } from './contacts.ts'
import { drive } from './drive.ts'
import type { LookupStep, LookupTrace } from './lookup-trace.ts'
import { watchLookup } from './lookup-watch.ts'
import { Lookup, type Peer } from './lookup.ts'
import type { Neighbourhoods } from './neighbourhoods.ts'
import type { PublicKeys } from './public-keys.ts'
import type { RecordShelf } from './record-shelf.ts'
import { compareVersions } from './register.ts'
import type { Verifier } from './verifier.ts'
import { findNode, getKey, getRecord } from './wire.ts'

/** How look-ups spread; the meaning is that of `Lookup`. */
export interface SearchOptions {
  readonly k: number
  readonly alpha: number
  readonly paths: number
}

/** Nearest nodes that {@link Search.explore} asks. */
const EXPLORED = 4
/** Paths of a look-up that shall find its way past many liars. */
const SECURE_PATHS = 8
/** Times that a look-up without a proof begins again: its paths may all have met liars. */
const MAX_RESTARTS = 2

/** Which record is wanted. */
export interface Wanted {
  readonly kind: RecordKind
  readonly key: Key
  readonly owner: NodeId
  /** Holders that must have shown a valid record before the search may end early. */
  readonly enough: number
  /** Disjoint paths on which it must have been shown, or all be asked to the end. Default 1. */
  readonly enoughPaths?: number
  /** Eight paths instead of the usual. Default false. */
  readonly secure?: boolean
  /** Whether only what others show counts, not what this node keeps. Default false. */
  readonly ofOthers?: boolean
  /** Fresh starts when nobody showed it. Default 2. */
  readonly maxRestarts?: number
}

/** What came of the search for a record. */
export interface Found {
  /** The valid record with the highest sequence that was shown. */
  readonly record: SignedRecord | undefined
  /** Who showed a valid record of the place, this node included. */
  readonly holders: readonly NodeId[]
  /** Nodes that answered, this one not included. */
  readonly answers: number
  /** Whether the owner itself answered: its handshake proves that it is there. */
  readonly isOwnerThere: boolean
  /** The nearest that answered, nearest first. */
  readonly closest: readonly Peer[]
  readonly restarts: number
}

/** Finds nodes and records by asking from node to node. */
export class Search {
  readonly #self: NodeId
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #shelf: RecordShelf
  readonly #verifier: Verifier
  readonly #publicKeys: PublicKeys
  readonly #neighbourhoods: Neighbourhoods
  readonly #options: SearchOptions

  constructor(
    deps: {
      readonly self: NodeId
      readonly env: Env
      readonly contacts: Contacts
      readonly shelf: RecordShelf
      readonly verifier: Verifier
      readonly publicKeys: PublicKeys
      readonly neighbourhoods: Neighbourhoods
    },
    options: SearchOptions,
  ) {
    this.#self = deps.self
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#verifier = deps.verifier
    this.#publicKeys = deps.publicKeys
    this.#neighbourhoods = deps.neighbourhoods
    this.#options = options
  }

  /** The k nearest nodes that answered, nearest first, without this one. */
  async closest(target: Key, signal: AbortSignal): Promise<readonly Peer[]> {
    const lookup = this.#lookup(target)
    await this.#ask(lookup, signal)
    const closest = lookup.closest()
    const verdict = this.#neighbourhoods.observe(
      target,
      closest.map(({ id }) => keyOfNode(id)),
    )
    this.#env.metrics.counter('neighbourhoods', { verdict }).add()
    return closest
  }

  /**
   * Who is there around `target`, as a few of the nearest tell it: a fifth of the requests of {@link closest},
   * and none of the k is sure to be there.
   */
  async explore(target: Key, signal: AbortSignal): Promise<readonly Peer[]> {
    const { k } = this.#options
    const lookup = this.#lookup(target, { k: Math.min(k, EXPLORED), alpha: 1, paths: 2 })
    await this.#ask(lookup, signal)
    return lookup.named(k)
  }

  /** The valid record with the highest sequence that was shown, or nothing. */
  async record(wanted: Wanted, signal: AbortSignal): Promise<SignedRecord | undefined> {
    const { record } = await this.find(wanted, { signal })
    return record
  }

  /** Searches for a record, and begins again on fresh paths while nothing is shown and others can be asked. */
  async find(
    wanted: Wanted,
    { signal, trace }: { readonly signal: AbortSignal; readonly trace?: LookupTrace },
  ): Promise<Found> {
    const { kind, key, maxRestarts = MAX_RESTARTS } = wanted
    const paths = wanted.secure === true ? SECURE_PATHS : this.#options.paths
    const watch = watchLookup(this.#env, 'record')
    const { clock } = this.#env
    const own = wanted.ofOthers === true ? undefined : await this.#own(wanted)
    let best = own
    // A silent node is asked again when somebody names another address, and may then answer all of it: it counts once.
    const holders = new Set(own === undefined ? [] : [this.#self])
    // What this node keeps itself came to it on no path, and so counts as one of its own.
    const shownOn = new Set(own === undefined ? [] : [-1])
    let isOwnerThere = false
    const isProved = (): boolean => best !== undefined || (kind === 'NODE_AD' && isOwnerThere)
    const isEnough = (): boolean =>
      (holders.size >= wanted.enough && shownOn.size >= (wanted.enoughPaths ?? 1)) ||
      (kind === 'NODE_AD' && isOwnerThere)
    const lookup = this.#lookup(key, { ...this.#options, paths })
    const question = { type: getRecord, request: { sender: this.#contacts.sender(), kind, key } }
    let isOver = false
    const ask = async (peer: Peer, path: number): Promise<readonly Peer[]> => {
      watch.asked()
      const step = trace?.asked(path, { peer: peer.id, nowMs: clock.nowMs() })
      const note = (outcome: LookupStep['outcome'], named: readonly Peer[], sequence?: number): void => {
        if (step === undefined || isOver) return
        trace?.ended(step, { outcome, named: named.map(({ id }) => id), sequence, nowMs: clock.nowMs() })
      }
      try {
        const { record, peers } = await this.#contacts.ask(peer, question)
        // What comes after the end is of no use, and a signature is dear.
        if (isOver) return peers
        if (record !== undefined) {
          await this.verify(record, { wanted, holder: peer, signal })
          if (!holders.has(peer.id)) shownOn.add(path)
          holders.add(peer.id)
          if (best === undefined || compareVersions(this.#env.crypto, record, best) < 0) best = record
        }
        if (peer.id === wanted.owner) isOwnerThere = true
        note('answered', peers, record?.body.sequence)
        return peers
      } catch (error) {
        note(outcomeOf(error), [])
        throw error
      }
    }
    let restarts = 0
    await watch.run(async () => {
      try {
        await drive(lookup, { ask, clock, signal, isEnough })
        while (!isProved() && restarts < maxRestarts && lookup.restart(this.#freshSeeds(lookup))) {
          restarts += 1
          await drive(lookup, { ask, clock, signal, isEnough })
        }
      } finally {
        isOver = true
      }
      return best
    })
    return {
      record: best,
      holders: [...holders],
      answers: lookup.answers,
      isOwnerThere,
      closest: lookup.closest(),
      restarts,
    }
  }

  /** Asks from node to node towards `key`, until it is enough or the nearest have answered. `ask` rejects for a liar. */
  async visit(
    key: Key,
    options: {
      readonly ask: (peer: Peer) => Promise<readonly Peer[]>
      readonly isEnough: () => boolean
      readonly signal: AbortSignal
    },
  ): Promise<void> {
    await drive(this.#lookup(key), { ...options, clock: this.#env.clock })
  }

  /** Known nodes that the look-up has not asked yet. */
  #freshSeeds(lookup: Lookup): Peer[] {
    const { k } = this.#options
    const nearest = this.#contacts.closest(lookup.target, { count: k + lookup.asked, aliveOnly: true })
    return nearest.filter(({ id }) => !lookup.hasAsked(id)).slice(0, k)
  }

  async #ask(lookup: Lookup, signal: AbortSignal): Promise<void> {
    const watch = watchLookup(this.#env, 'nodes')
    const { target } = lookup
    const question = { type: findNode, request: { sender: this.#contacts.sender(), target } }
    const ask = (peer: Peer): Promise<readonly Peer[]> => {
      watch.asked()
      return this.#contacts.ask(peer, question)
    }
    await watch.run(async () => {
      await drive(lookup, { ask, clock: this.#env.clock, signal })
      return lookup.answers
    })
  }

  async #own(wanted: Wanted): Promise<SignedRecord | undefined> {
    const record = await this.#shelf.get(wanted)
    if (record === undefined) return undefined
    try {
      const publicKey = await this.#publicKeys.get(wanted.owner)
      if (publicKey === undefined) return undefined
      this.#verifier.check(record, { publicKey, nowUnixMs: this.#env.clock.unixMs() })
      return record
    } catch {
      // It has expired since it was stored.
      return undefined
    }
  }

  /** Throws for a record that is not what was asked for: its holder counts as failed. */
  async verify(
    record: SignedRecord,
    context: { readonly wanted: Wanted; readonly holder: Peer; readonly signal: AbortSignal },
  ): Promise<void> {
    const { wanted } = context
    this.#verifier.checkPlace(record, wanted)
    const publicKey = await this.#publicKeyOf(wanted.owner, context)
    this.#verifier.check(record, { publicKey, nowUnixMs: this.#env.clock.unixMs() })
  }

  async #publicKeyOf(
    owner: NodeId,
    { holder, signal }: { readonly holder: Peer; readonly signal: AbortSignal },
  ): Promise<Uint8Array> {
    const known = await this.#publicKeys.get(owner)
    if (known !== undefined) return known
    const fetched = await this.#contacts.ask(holder, { type: getKey, request: owner, signal })
    if (fetched === undefined || !this.#publicKeys.admit(owner, fetched)) {
      throw new EspalierError('RECORD_INVALID', `no public key came with a record of ${owner}`)
    }
    return fetched
  }

  #lookup(target: Key, options: SearchOptions = this.#options): Lookup {
    this.#contacts.table.touch(target, this.#env.clock.nowMs())
    const seeds = this.#contacts.closest(target, { count: this.#options.k, aliveOnly: false })
    return new Lookup({ target, self: this.#self, seeds, ...options })
  }
}
