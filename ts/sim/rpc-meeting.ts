import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { PeerAddress } from '../net/address.ts'
import type { CallOptions } from '../net/transport.ts'
import { Attempt, type Outcome } from './rpc-attempt.ts'
import type { Card, Fabric } from './rpc-fabric.ts'

/** A handshake with whoever lives at an address. */
export class SimMeeting extends Attempt<NodeId> {
  readonly #from: Card
  readonly #peer: PeerAddress

  constructor(
    deps: { readonly network: Fabric; readonly from: Card },
    peer: PeerAddress,
    outcome: Outcome<NodeId>,
  ) {
    super(deps.network, outcome)
    this.#from = deps.from
    this.#peer = peer
  }

  start(options: CallOptions, defaultTimeoutMs: number): void {
    this.watch(options, defaultTimeoutMs)
    for (const address of this.#peer.addresses) {
      const to = this.network.nodeAt(address)
      const ms = to === undefined ? undefined : this.network.transitMs(this.#from, to)
      if (to === undefined || ms === undefined) continue
      this.network.world.schedule(2 * ms, () => this.#arrive(to))
    }
  }

  #arrive(to: Card): void {
    if (this.isOver || !to.isUp) return
    const { id } = this.#peer
    if (id !== undefined && id !== to.localId) {
      this.fail(new EspalierError('PEER_MISMATCH', 'another node answered at the address of the peer'))
    } else if (to === this.#from) {
      this.fail(new EspalierError('PEER_REFUSED', 'the address is our own'))
    } else {
      this.#from.link(to, true)
      to.link(this.#from, false)
      this.succeed(to.localId)
    }
  }
}
