import type { Env } from '../base/env.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { Contacts } from './contacts.ts'
import { PeerRate } from './peer-rate.ts'
import type { RecordShelf } from './record-shelf.ts'
import { getHistory } from './register-wire.ts'

/** Histories: each answer reads up to nine rows, and has up to 37 KB. */
const HISTORIES = { reason: 'registers', ratePerSecond: 32, burst: 128 }

/** Answers what other nodes ask about registers, beside the records themselves. */
export class RegisterServer {
  readonly #rpc: RpcPort
  readonly #contacts: Contacts
  readonly #shelf: RecordShelf
  readonly #histories: PeerRate

  constructor(deps: {
    readonly rpc: RpcPort
    readonly env: Env
    readonly contacts: Contacts
    readonly shelf: RecordShelf
  }) {
    this.#rpc = deps.rpc
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#histories = new PeerRate(deps.env, HISTORIES)
  }

  /** Only a node that serves does this. */
  start(): void {
    this.#rpc.handle(getHistory, async ({ sender, key, earlier }, caller) => {
      this.#contacts.heard(caller, sender)
      this.#histories.take(caller.id)
      const records = await this.#shelf.history(key)
      return records.slice(0, 1 + earlier)
    })
  }
}
