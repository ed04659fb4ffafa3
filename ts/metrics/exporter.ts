import { Counter, Gauge, Histogram, Registry, type MetricType } from 'prom-client'
import { EspalierError } from '../base/error.ts'
import type { Histogram as Observed, Sample } from '../base/metrics.ts'
import { NODE_METRICS, type NodeMetric } from './catalogue.ts'
import { LoopDelay, PROCESS_METRICS, processMoment, type ProcessMoment } from './process-metrics.ts'
import type { MetricsSource, Moment } from './source.ts'

/** Names a node among several in one registry. */
const NODE_LABEL = 'node'

/** Exporters by registry and prefix, so that nodes of one registry share their metrics. */
const exporters = new WeakMap<Registry, Map<string, Exporter>>()

/** A registry of a node's own. */
export function ownRegistry(): Registry {
  return new Registry()
}

/**
 * Shows a node in a registry until the function that is returned is called. Several nodes share a registry when each
 * has a name, which becomes the label `node`. Throws `INVALID_ARGUMENT` for a name that is taken, for named
 * beside nameless nodes, and for a registry that has a metric of such a name already.
 */
export function exportNode(
  source: MetricsSource,
  options: { readonly registry: Registry; readonly prefix: string; readonly name: string | undefined },
): () => void {
  const { registry, prefix, name } = options
  let byPrefix = exporters.get(registry)
  if (byPrefix === undefined) exporters.set(registry, (byPrefix = new Map<string, Exporter>()))
  let exporter = byPrefix.get(prefix)
  if (exporter === undefined) {
    exporter = new Exporter({ registry, prefix, isNamed: name !== undefined })
    byPrefix.set(prefix, exporter)
  }
  const found = exporter
  found.add(source, name)
  return () => {
    if (found.remove(source)) byPrefix.delete(prefix)
  }
}

/** The metrics of one registry under one prefix. */
class Exporter {
  readonly #registry: Registry
  readonly #isNamed: boolean
  /** Bounded by the nodes that use the registry. */
  readonly #sources = new Map<MetricsSource, string | undefined>()
  readonly #loop = new LoopDelay()
  /** Bounded by the catalogue. */
  readonly #registered: string[] = []
  #moments: readonly NamedMoment[] | undefined
  #processMoment: ProcessMoment | undefined

  constructor(options: { readonly registry: Registry; readonly prefix: string; readonly isNamed: boolean }) {
    const { registry, prefix, isNamed } = options
    this.#registry = registry
    this.#isNamed = isNamed
    try {
      for (const metric of NODE_METRICS) this.#register(metric, prefix)
      for (const metric of PROCESS_METRICS) {
        const { name, labels, help } = metric
        const read = (): readonly Sample<number>[] => metric.read(this.#thisThread())
        this.#registerNumbers({ kind: 'gauge', name: `${prefix}${name}`, labels, help, read })
      }
    } catch (cause) {
      this.#end()
      throw new EspalierError('INVALID_ARGUMENT', 'the registry has metrics of these names already', {
        cause,
      })
    }
  }

  add(source: MetricsSource, name: string | undefined): void {
    if ((name !== undefined) !== this.#isNamed) {
      const message = 'nodes that share a registry need a name each: metrics.name'
      throw new EspalierError('INVALID_ARGUMENT', message)
    }
    if (name === undefined ? this.#sources.size > 0 : [...this.#sources.values()].includes(name)) {
      const message = `the registry shows a node ${name === undefined ? 'without a name' : JSON.stringify(name)} already`
      throw new EspalierError('INVALID_ARGUMENT', `${message}: metrics.name has to differ`)
    }
    this.#sources.set(source, name)
  }

  /** True when nobody uses the metrics any more; they have left the registry then. */
  remove(source: MetricsSource): boolean {
    this.#sources.delete(source)
    if (this.#sources.size > 0) return false
    this.#end()
    return true
  }

  #end(): void {
    this.#loop.stop()
    for (const name of this.#registered) this.#registry.removeSingleMetric(name)
  }

  #register(metric: NodeMetric, prefix: string): void {
    const name = `${prefix}${metric.name}`
    const { help } = metric
    const labels = this.#isNamed ? [NODE_LABEL, ...metric.labels] : metric.labels
    if (metric.kind === 'histogram') {
      const read = (): readonly Sample<Observed>[] => this.#readAll(metric.read, metric.labels)
      new ReadHistogram({ name, help, labelNames: labels, registers: [this.#registry] }, read)
      this.#registered.push(name)
      return
    }
    const read = (): readonly Sample<number>[] => this.#readAll(metric.read, metric.labels)
    this.#registerNumbers({ kind: metric.kind, name, labels, help, read })
  }

  #registerNumbers(metric: {
    readonly kind: 'counter' | 'gauge'
    readonly name: string
    readonly labels: readonly string[]
    readonly help: string
    readonly read: () => readonly Sample<number>[]
  }): void {
    const { kind, name, labels: labelNames, help, read } = metric
    const options = { name, help, labelNames, registers: [this.#registry] }
    if (kind === 'gauge') {
      new Gauge({
        ...options,
        collect() {
          this.reset()
          for (const { labels, value } of read()) this.set(labels, value)
        },
      })
    } else {
      new Counter({
        ...options,
        collect() {
          // The sums live in the node; this only shows them.
          this.reset()
          for (const { labels, value } of read()) this.inc(labels, value)
        },
      })
    }
    // Only what this exporter has registered is its own to remove.
    this.#registered.push(name)
  }

  #readAll<Value>(
    read: (moment: Moment, labels: readonly string[]) => readonly Sample<Value>[],
    labelNames: readonly string[],
  ): readonly Sample<Value>[] {
    return this.#nodes().flatMap(({ moment, name }) =>
      read(moment, labelNames).map(({ labels, value }) => ({
        labels: name === undefined ? labels : { [NODE_LABEL]: name, ...labels },
        value,
      })),
    )
  }

  /** All metrics of one scrape are collected in one turn: they share what is fetched. */
  #nodes(): readonly NamedMoment[] {
    if (this.#moments === undefined) {
      queueMicrotask(() => (this.#moments = undefined))
      this.#moments = [...this.#sources].map(([source, name]) => ({
        moment: { source, figures: source.transport.figures() },
        name,
      }))
    }
    return this.#moments
  }

  #thisThread(): ProcessMoment {
    if (this.#processMoment === undefined) {
      queueMicrotask(() => (this.#processMoment = undefined))
      this.#processMoment = processMoment(this.#loop)
    }
    return this.#processMoment
  }
}

interface NamedMoment {
  readonly moment: Moment
  readonly name: string | undefined
}

type HistogramOptions = ConstructorParameters<typeof Histogram<string>>[0]
type HistogramObject = Awaited<ReturnType<Histogram['get']>>

// prom-client's types say a number; it is text.
const HISTOGRAM = 'histogram' as unknown as MetricType

/** A histogram whose buckets somebody else keeps. */
class ReadHistogram extends Histogram {
  readonly #read: () => readonly Sample<Observed>[]
  readonly #name: string
  readonly #help: string

  constructor(options: HistogramOptions, read: () => readonly Sample<Observed>[]) {
    super(options)
    this.#read = read
    this.#name = options.name
    this.#help = options.help
  }

  /** In the shape that prom-client's own histogram has. */
  override get(): Promise<HistogramObject> {
    const name = this.#name
    const values = this.#read().flatMap(({ labels, value }) => {
      let total = 0
      const buckets = value.counts.map((count, at) => {
        total += count
        const le = value.bounds[at] ?? '+Inf'
        return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: total }
      })
      return [
        ...buckets,
        { metricName: `${name}_sum`, labels, value: value.sum },
        { metricName: `${name}_count`, labels, value: total },
      ]
    })
    const collect = (): void => undefined
    return Promise.resolve({ name, help: this.#help, type: HISTOGRAM, aggregator: 'sum', values, collect })
  }

  /** What a registry calls where it finds it. */
  getForPromString(): Promise<HistogramObject> {
    return this.get()
  }
}
