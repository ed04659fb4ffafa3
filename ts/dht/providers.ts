import type { Env } from '../base/env.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { Row, Store } from '../storage/store.ts'
import type { Contacts } from './contacts.ts'
import { ProviderServer } from './provider-server.ts'
import { ProviderShelf } from './provider-shelf.ts'
import type { PublicKeys } from './public-keys.ts'
import type { Verifier } from './verifier.ts'

/** Who has which children of a root: keeps the announcements of others, and answers for them. */
export class Providers {
  readonly #serves: boolean
  readonly #shelf: ProviderShelf
  readonly #server: ProviderServer

  constructor(
    deps: {
      readonly rpc: RpcPort
      readonly env: Env
      readonly store: Store
      readonly contacts: Contacts
      readonly verifier: Verifier
      readonly publicKeys: PublicKeys
    },
    options: { readonly serves: boolean; readonly k: number },
  ) {
    this.#serves = options.serves
    this.#shelf = new ProviderShelf(deps)
    this.#server = new ProviderServer({ ...deps, shelf: this.#shelf }, options)
  }

  /** Announcements of others that this node keeps. */
  get keptCount(): number {
    return this.#shelf.size
  }

  /** Reads what is on disk, then answers others. */
  async load(): Promise<void> {
    await this.#shelf.load()
    if (this.#serves) this.#server.start()
  }

  /** An expired row of `records` was deleted. */
  async forget(row: Row): Promise<void> {
    await this.#shelf.forget(row)
  }
}
