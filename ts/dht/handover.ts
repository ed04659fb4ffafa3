import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, type NodeId } from '../base/identity.ts'
import type { Contacts } from './contacts.ts'
import { compareDistance } from './key.ts'
import { Pace } from './pace.ts'
import type { PublicKeys } from './public-keys.ts'
import type { RecordShelf } from './record-shelf.ts'
import type { Entry } from './values.ts'
import { putRecord } from './wire.ts'

/** Records looked at before other work gets its turn. */
const SLICE = 500

/**
 * Gives a node that has come near the records that belong on it now. Without this a record would be
 * lost to look-ups when the network grows and its publisher is gone. Of the nodes that keep a record
 * the nearest one gives it on, so that a newcomer gets it once.
 */
export class Handover {
  readonly #self: NodeId
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #shelf: RecordShelf
  readonly #publicKeys: PublicKeys
  readonly #k: number

  constructor(
    deps: {
      readonly self: NodeId
      readonly env: Env
      readonly contacts: Contacts
      readonly shelf: RecordShelf
      readonly publicKeys: PublicKeys
    },
    options: { readonly k: number },
  ) {
    this.#self = deps.self
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#publicKeys = deps.publicKeys
    this.#k = options.k
  }

  /** Serves everyone who came since the last run; answers how many records were taken. */
  async run(signal: AbortSignal): Promise<number> {
    const newcomers = this.#contacts.takeNewcomers()
    if (newcomers.size === 0) return 0
    const pace = new Pace(this.#env.clock, { signal, slice: SLICE })
    let count = 0
    for (const entry of this.#shelf.entries()) {
      if (pace.isOver(1)) await pace.rest()
      for (const id of this.#takersOf(entry, newcomers)) {
        signal.throwIfAborted()
        if (await this.#give(entry, { to: id, signal })) count += 1
      }
    }
    return count
  }

  /** Newcomers among the k nearest to the record, if this node is the nearest of the others. */
  #takersOf(entry: Entry, newcomers: ReadonlySet<NodeId>): NodeId[] {
    const nearest = this.#contacts.table.closest(entry.key, { count: this.#k, aliveOnly: true })
    const elder = nearest.find((id) => !newcomers.has(id))
    const own = keyOfNode(this.#self)
    if (elder !== undefined && compareDistance(entry.key, { a: keyOfNode(elder), b: own }) < 0) return []
    return nearest.filter((id) => newcomers.has(id) && id !== entry.source)
  }

  /** A newcomer that does not take it gets no second offer; the next look-up finds it elsewhere. */
  async #give(
    entry: Entry,
    { to, signal }: { readonly to: NodeId; readonly signal: AbortSignal },
  ): Promise<boolean> {
    try {
      const record = await this.#shelf.get(entry)
      if (record === undefined) return false
      const publicKey = await this.#publicKeys.get(entry.owner)
      const request = { sender: this.#contacts.sender(), record, publicKey }
      const outcome = await this.#contacts.ask(to, { type: putRecord, request, signal })
      return outcome.kind === 'stored'
    } catch (error) {
      const code = error instanceof EspalierError ? error.code : 'unknown'
      this.#env.log.debug('a record was not handed over', { peer: to, code })
      return false
    }
  }
}
