import type { Env } from '../base/env.ts'
import { EspalierError } from '../base/error.ts'
import type { SignedRecord } from '../base/record.ts'
import type { Contacts } from './contacts.ts'
import type { Peer } from './lookup.ts'
import type { PublicKeys } from './public-keys.ts'
import type { RecordShelf } from './record-shelf.ts'
import { compareVersions, decodeRegister } from './register.ts'
import { getHistory } from './register-wire.ts'
import type { Search, Wanted } from './search.ts'
import type { Verifier } from './verifier.ts'

/** Reads what registers said before, from all nodes that keep them: one that came late knows less than others. */
export class RegisterHistory {
  readonly #env: Env
  readonly #contacts: Contacts
  readonly #search: Search
  readonly #shelf: RecordShelf
  readonly #verifier: Verifier
  readonly #publicKeys: PublicKeys

  constructor(deps: {
    readonly env: Env
    readonly contacts: Contacts
    readonly search: Search
    readonly shelf: RecordShelf
    readonly verifier: Verifier
    readonly publicKeys: PublicKeys
  }) {
    this.#env = deps.env
    this.#contacts = deps.contacts
    this.#search = deps.search
    this.#shelf = deps.shelf
    this.#verifier = deps.verifier
    this.#publicKeys = deps.publicKeys
  }

  /** Verified records of one register, newest first, at most `limit` (1 to 9). */
  async read(wanted: Wanted, options: { readonly limit: number; readonly signal: AbortSignal }) {
    const { limit, signal } = options
    const peers = await this.#search.closest(wanted.key, signal)
    const shown = await Promise.all([
      this.#own(wanted),
      ...peers.map((peer) => this.#ask(peer, { wanted, limit, signal })),
    ])
    signal.throwIfAborted()
    const bySequence = new Map<number, SignedRecord>()
    for (const record of shown.flat()) {
      const rival = bySequence.get(record.body.sequence)
      if (rival !== undefined && compareVersions(this.#env.crypto, rival, record) <= 0) continue
      bySequence.set(record.body.sequence, record)
    }
    return [...bySequence.values()].sort((a, b) => b.body.sequence - a.body.sequence).slice(0, limit)
  }

  /** A peer that fails shows nothing; of one that shows a record that is not good, those before it count. */
  async #ask(
    peer: Peer,
    {
      wanted,
      limit,
      signal,
    }: { readonly wanted: Wanted; readonly limit: number; readonly signal: AbortSignal },
  ): Promise<readonly SignedRecord[]> {
    const good: SignedRecord[] = []
    try {
      const request = { sender: this.#contacts.sender(), key: wanted.key, earlier: limit - 1 }
      const records = await this.#contacts.ask(peer, { type: getHistory, request, signal })
      if (records.length > limit || !isDescending(records)) {
        throw new EspalierError('PROTOCOL_VIOLATION', 'a history that is too long or out of order')
      }
      for (const record of records) {
        await this.#search.verify(record, { wanted, holder: peer, signal })
        decodeRegister(record.body)
        good.push(record)
      }
    } catch (error) {
      const code = error instanceof EspalierError ? error.code : 'unknown'
      this.#env.log.debug('a history was not had whole', { peer: peer.id, code })
    }
    return good
  }

  /** What this node keeps itself, but for what has expired since. */
  async #own({ key, owner }: Wanted): Promise<readonly SignedRecord[]> {
    const records = await this.#shelf.history(key)
    const publicKey = await this.#publicKeys.get(owner)
    if (publicKey === undefined) return []
    const nowUnixMs = this.#env.clock.unixMs()
    return records.filter((record) => {
      try {
        this.#verifier.check(record, { publicKey, nowUnixMs })
        return true
      } catch {
        return false
      }
    })
  }
}

function isDescending(records: readonly SignedRecord[]): boolean {
  return records.every(
    ({ body }, at) => at === 0 || body.sequence < (records[at - 1]?.body.sequence ?? Infinity),
  )
}
