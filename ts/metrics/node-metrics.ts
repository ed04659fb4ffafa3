import type { Registry } from 'prom-client'
import { EspalierError } from '../base/error.ts'
import type { MetricsSource } from './source.ts'

/** How a node shows its metrics. */
export interface NodeMetricsOptions {
  /** Where they are registered; a registry of its own when absent. */
  readonly registry: Registry | undefined
  readonly prefix: string
  readonly name: string | undefined
}

/**
 * The metrics of one node in a registry. Until somebody asks, or gives a registry, nothing is registered and
 * prom-client is not even loaded.
 */
export class NodeMetrics {
  readonly #source: MetricsSource
  readonly #options: NodeMetricsOptions
  #opened: Promise<Registry> | undefined
  #detach: (() => void) | undefined
  #isClosed = false

  constructor(source: MetricsSource, options: NodeMetricsOptions) {
    this.#source = source
    this.#options = options
  }

  /** Registers the metrics. Codes: `INVALID_ARGUMENT` when the registry can't take them, `CLOSED`. */
  async open(): Promise<Registry> {
    this.#opened ??= this.#register()
    return this.#opened
  }

  /** The registry in the text format of Prometheus. */
  async text(): Promise<string> {
    const registry = await this.open()
    return registry.metrics()
  }

  /** The media type of {@link text}. */
  async contentType(): Promise<string> {
    const registry = await this.open()
    return registry.contentType
  }

  /** Takes the node out of its registry. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#detach?.()
    this.#detach = undefined
  }

  async #register(): Promise<Registry> {
    const { exportNode, ownRegistry } = await import('./exporter.ts')
    if (this.#isClosed) throw new EspalierError('CLOSED', 'the node was stopped')
    const { prefix, name } = this.#options
    const registry = this.#options.registry ?? ownRegistry()
    this.#detach = exportNode(this.#source, { registry, prefix, name })
    return registry
  }
}
