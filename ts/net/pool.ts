import type { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Connection } from './transport.ts'

/** A connection and what depends on it. */
export class Pooled {
  readonly connection: Connection
  /** Requests and streams that use it now, in either direction. */
  busy = 0
  readonly #controller = new AbortController()

  constructor(connection: Connection) {
    this.connection = connection
  }

  /** Aborts when the connection ends. */
  get ended(): AbortSignal {
    return this.#controller.signal
  }

  end(reason: EspalierError): void {
    this.#controller.abort(reason)
  }
}

/** Live connections, one for each peer, in the order of use. Decides which one has to go. */
export class ConnectionPool {
  readonly #maxConnections: number
  /** Bounded by `maxConnections`: `surplus` is asked after each `add`. The least recently used first. */
  readonly #entries = new Map<NodeId, Pooled>()

  constructor(options: { readonly maxConnections: number }) {
    this.#maxConnections = options.maxConnections
  }

  values(): Connection[] {
    return [...this.#entries.values()].map((entry) => entry.connection)
  }

  /** The connection to a peer, which becomes the most recently used. */
  use(peer: NodeId): Pooled | undefined {
    const entry = this.#entries.get(peer)
    if (entry === undefined) return undefined
    this.#entries.delete(peer)
    this.#entries.set(peer, entry)
    return entry
  }

  /** Takes a connection in, in place of an older one to the same peer. */
  add(connection: Connection): Pooled {
    const entry = new Pooled(connection)
    this.#entries.delete(connection.peer)
    this.#entries.set(connection.peer, entry)
    return entry
  }

  remove(entry: Pooled): void {
    const { peer } = entry.connection
    if (this.#entries.get(peer) === entry) this.#entries.delete(peer)
  }

  /** Takes out the connection to close when there are too many: idle ones first, never `keep`. */
  surplus(keep: Pooled): Pooled | undefined {
    if (this.#entries.size <= this.#maxConnections) return undefined
    let victim: Pooled | undefined
    for (const entry of this.#entries.values()) {
      if (entry === keep) continue
      victim ??= entry
      if (entry.busy > 0) continue
      victim = entry
      break
    }
    if (victim !== undefined) this.remove(victim)
    return victim
  }
}
