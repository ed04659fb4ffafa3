import type { Env } from '../base/env.ts'
import type { ErrorCode } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { PeerAddress } from './address.ts'
import { outcomeOf } from './tally.ts'
import { traceDial } from './trace.ts'
import type { CallOptions, Connection, Dialled, FirstRequest, KnownPeer, Transport } from './transport.ts'

/** Dials through the transport, and counts how that ends and how long it takes. */
export class Connector {
  readonly #transport: Transport
  readonly #env: Pick<Env, 'clock' | 'metrics'>

  constructor(transport: Transport, env: Pick<Env, 'clock' | 'metrics'>) {
    this.#transport = transport
    this.#env = env
  }

  /** As `Transport.connect`. */
  connect(peer: PeerAddress, options?: CallOptions): Promise<Connection> {
    return this.#observe(this.#transport.connect(peer, options), peer.id)
  }

  /** As `Transport.connectAndAsk`. */
  connectAndAsk(peer: KnownPeer, request: FirstRequest, options?: CallOptions): Dialled {
    const { connection, answer } = this.#transport.connectAndAsk(peer, request, options)
    return { connection: this.#observe(connection, peer.id), answer }
  }

  async #observe(dial: Promise<Connection>, expected: NodeId | undefined): Promise<Connection> {
    const { clock, metrics } = this.#env
    const startedAtMs = clock.nowMs()
    const end = (outcome: 'ok' | ErrorCode, peer: NodeId | undefined): number => {
      const durationMs = clock.nowMs() - startedAtMs
      metrics.counter('dials', { outcome }).add()
      traceDial({ peer, outcome, durationMs })
      return durationMs
    }
    try {
      const connection = await dial
      metrics.histogram('connectSeconds', {}).observe(end('ok', connection.peer) / 1000)
      return connection
    } catch (error) {
      end(outcomeOf(error), expected)
      throw error
    }
  }
}
