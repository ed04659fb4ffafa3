import type { Key } from '../base/identity.ts'
import type { Caller, RpcPort } from '../net/rpc-port.ts'
import type { Contacts } from './contacts.ts'
import type { Peer } from './lookup.ts'
import type { PublicKeys } from './public-keys.ts'
import type { RecordShelf } from './record-shelf.ts'
import { findNode, getKey, getRecord, ping, putRecord } from './wire.ts'

/** Answers other nodes. How often each may ask is bounded below, by `Rpc`. */
export class Server {
  readonly #rpc: RpcPort
  readonly #contacts: Contacts
  readonly #shelf: RecordShelf
  readonly #publicKeys: PublicKeys
  readonly #serves: boolean
  readonly #k: number

  constructor(
    deps: {
      readonly rpc: RpcPort
      readonly contacts: Contacts
      readonly shelf: RecordShelf
      readonly publicKeys: PublicKeys
    },
    options: { readonly serves: boolean; readonly k: number },
  ) {
    this.#rpc = deps.rpc
    this.#contacts = deps.contacts
    this.#shelf = deps.shelf
    this.#publicKeys = deps.publicKeys
    this.#serves = options.serves
    this.#k = options.k
  }

  /** A node that does not serve answers pings only, and says so there. */
  start(): void {
    this.#rpc.handle(ping, (sender, caller) => {
      this.#contacts.heard(caller, sender)
      return this.#contacts.sender()
    })
    if (!this.#serves) return
    this.#rpc.handle(findNode, ({ sender, target }, caller) => {
      this.#contacts.heard(caller, sender)
      return this.#nearest(target, caller)
    })
    this.#rpc.handle(getRecord, async ({ sender, kind, key }, caller) => {
      this.#contacts.heard(caller, sender)
      const record = await this.#shelf.get({ kind, key })
      return { record, peers: this.#nearest(key, caller) }
    })
    this.#rpc.handle(putRecord, async ({ sender, record, publicKey }, caller) => {
      this.#contacts.heard(caller, sender)
      return this.#shelf.accept({ record, publicKey, source: caller.id })
    })
    this.#rpc.handle(getKey, (id) => this.#publicKeys.get(id))
  }

  /** Known alive, and not the caller, who knows itself. */
  #nearest(target: Key, caller: Caller): Peer[] {
    return this.#contacts.closest(target, { count: this.#k, aliveOnly: true, except: caller.id })
  }
}
