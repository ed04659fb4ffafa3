import type { Env } from '../base/env.ts'
import { keyOfNode, type NodeId } from '../base/identity.ts'
import type { Address } from '../net/address.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { CallOptions } from '../net/transport.ts'
import type { Calls } from './calls.ts'
import { LookupTrace, type LookupReport } from './lookup-trace.ts'
import { decodeNodeAd } from './node-ad.ts'
import type { Search, Wanted } from './search.ts'

/** Finds nodes by their id. */
export class Locator {
  readonly #rpc: RpcPort
  readonly #env: Env
  readonly #calls: Calls
  readonly #search: Search

  constructor(deps: {
    readonly rpc: RpcPort
    readonly env: Env
    readonly calls: Calls
    readonly search: Search
  }) {
    this.#rpc = deps.rpc
    this.#env = deps.env
    this.#calls = deps.calls
    this.#search = deps.search
  }

  /** Where a node can be reached, asked of the network when the book does not know; empty when nobody knows. */
  async locate(id: NodeId, options: CallOptions): Promise<readonly Address[]> {
    const known = this.#rpc.addressesOf(id)
    if (known.length > 0) return known
    return this.#calls.run(options, async (signal) => {
      const { record } = await this.#search.find(wantedAd(id), { signal })
      if (record !== undefined) this.#rpc.learn({ id, addresses: decodeNodeAd(record.body) })
      return this.#rpc.addressesOf(id)
    })
  }

  /** Looks for a node in the network, whatever this one knows or keeps, and tells how. */
  async look(id: NodeId, options: CallOptions & { readonly secure?: boolean }): Promise<LookupReport> {
    const { secure = false, ...call } = options
    return this.#calls.run(call, async (signal) => {
      const { clock } = this.#env
      const trace = new LookupTrace(clock.nowMs())
      const wanted = { ...wantedAd(id), secure, ofOthers: true }
      const { record, isOwnerThere, closest, restarts } = await this.#search.find(wanted, { signal, trace })
      if (record !== undefined) this.#rpc.learn({ id, addresses: decodeNodeAd(record.body) })
      const proof = isOwnerThere ? 'handshake' : record === undefined ? undefined : 'record'
      const addresses = proof === undefined ? [] : this.#rpc.addressesOf(id)
      return trace.report(
        { proof, addresses, closest: closest.map((peer) => peer.id), restarts },
        clock.nowMs(),
      )
    })
  }
}

/** Of the own records of a node the first will do: who dials it has the truth proved. */
function wantedAd(id: NodeId): Wanted {
  return { kind: 'NODE_AD', key: keyOfNode(id), owner: id, enough: 1 }
}
