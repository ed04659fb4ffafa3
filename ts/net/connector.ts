import type { Env } from '../base/env.ts'
import type { Meter } from '../base/metrics.ts'
import type { PeerAddress } from './address.ts'
import { outcomeOf } from './tally.ts'
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
    return this.#observe(this.#transport.connect(peer, options))
  }

  /** As `Transport.connectAndAsk`. */
  connectAndAsk(peer: KnownPeer, request: FirstRequest, options?: CallOptions): Dialled {
    const { connection, answer } = this.#transport.connectAndAsk(peer, request, options)
    return { connection: this.#observe(connection), answer }
  }

  async #observe(dial: Promise<Connection>): Promise<Connection> {
    const { clock, metrics } = this.#env
    const startedAtMs = clock.nowMs()
    try {
      const connection = await dial
      count(metrics, 'ok')
      metrics.histogram('connectSeconds', {}).observe((clock.nowMs() - startedAtMs) / 1000)
      return connection
    } catch (error) {
      count(metrics, outcomeOf(error))
      throw error
    }
  }
}

function count(metrics: Meter, outcome: string): void {
  metrics.counter('dials', { outcome }).add()
}
