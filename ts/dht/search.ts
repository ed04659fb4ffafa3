import { compareBytes } from '../base/bytes.ts'
import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { Key, NodeId } from '../base/identity.ts'
import type { RecordKind, SignedRecord } from '../base/record.ts'
import type { Contacts } from './contacts.ts'
import { drive } from './drive.ts'
import { watchLookup } from './lookup-watch.ts'
import { Lookup, type Peer } from './lookup.ts'
import type { PublicKeys } from './public-keys.ts'
import type { RecordShelf } from './record-shelf.ts'
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

/** Which record is wanted. */
export interface Wanted {
  readonly kind: RecordKind
  readonly key: Key
  readonly owner: NodeId
  /** Holders that must have shown a valid record before the search may end early. */
  readonly enough: number
}

/** Finds nodes and records by asking from node to node. */
export class Search {
  readonly #self: NodeId
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #shelf: RecordShelf
  readonly #verifier: Verifier
  readonly #publicKeys: PublicKeys
  readonly #options: SearchOptions

  constructor(
    deps: {
      readonly self: NodeId
      readonly env: Env
      readonly contacts: Contacts
      readonly shelf: RecordShelf
      readonly verifier: Verifier
      readonly publicKeys: PublicKeys
    },
    options: SearchOptions,
  ) {
    this.#self = deps.self
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#verifier = deps.verifier
    this.#publicKeys = deps.publicKeys
    this.#options = options
  }

  /** The k nearest nodes that answered, nearest first, without this one. */
  async closest(target: Key, signal: AbortSignal): Promise<readonly Peer[]> {
    const lookup = this.#lookup(target)
    await this.#ask(lookup, signal)
    return lookup.closest()
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

  /** The valid record with the highest sequence that was shown, or nothing. */
  record(wanted: Wanted, signal: AbortSignal): Promise<SignedRecord | undefined> {
    const watch = watchLookup(this.#env, 'record')
    return watch.run(() => this.#record(wanted, signal, watch.asked))
  }

  async #record(wanted: Wanted, signal: AbortSignal, asked: () => void): Promise<SignedRecord | undefined> {
    const { kind, key } = wanted
    let best = await this.#own(wanted)
    let shown = best === undefined ? 0 : 1
    const isEnough = (): boolean => shown >= wanted.enough
    const lookup = this.#lookup(key)
    const question = { type: getRecord, request: { sender: this.#contacts.sender(), kind, key } }
    let isOver = false
    const ask = async (peer: Peer): Promise<readonly Peer[]> => {
      asked()
      const { record, peers } = await this.#contacts.ask(peer, question)
      // What comes after the end is of no use, and a signature is dear.
      if (record !== undefined && !isOver) {
        await this.#verify(record, { wanted, holder: peer, signal })
        shown += 1
        if (best === undefined || isBetter(record, best)) best = record
      }
      return peers
    }
    try {
      await drive(lookup, { ask, clock: this.#env.clock, signal, isEnough })
    } finally {
      isOver = true
    }
    return best
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
  async #verify(
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

/** The higher sequence wins; of two bodies of one sequence the lower, as the storing nodes decide by hash. */
function isBetter(a: SignedRecord, b: SignedRecord): boolean {
  if (a.body.sequence !== b.body.sequence) return a.body.sequence > b.body.sequence
  return compareBytes(a.bodyBytes, b.bodyBytes) < 0
}
