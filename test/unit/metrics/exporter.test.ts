import { Counter, Registry } from 'prom-client'
import { afterEach, describe, expect, test } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import { Meter } from '../../../ts/base/metrics.ts'
import { exportNode } from '../../../ts/metrics/exporter.ts'
import type { MetricsSource } from '../../../ts/metrics/source.ts'
import { readExposition, total } from '../../metrics/exposition.ts'

const detaches: (() => void)[] = []

afterEach(() => {
  for (const detach of detaches.splice(0)) detach()
})

describe('nodes in a registry', () => {
  test('a node alone has no label of its own', async () => {
    const registry = new Registry()
    const node = fakeNode()
    show(node, { registry })
    node.metrics.counter('dials', { outcome: 'ok' }).add(3)

    expect(await registry.metrics()).toContain('\nespalier_dials_total{outcome="ok"} 3\n')
  })

  test('named nodes share every metric under their names', async () => {
    const registry = new Registry()
    const nodes = ['a', 'b'].map((name) => {
      const node = fakeNode()
      show(node, { registry, name })
      node.metrics.histogram('connectSeconds', {}).observe(0.02)
      return node
    })
    nodes[1]?.metrics.histogram('connectSeconds', {}).observe(0.02)

    const read = readExposition(await registry.metrics())
    expect(read.problems).toEqual([])
    expect(total(read, 'espalier_connect_duration_seconds', { node: 'a' })).toBe(1)
    expect(total(read, 'espalier_connect_duration_seconds', { node: 'b' })).toBe(2)
    // What they share has no name of a node.
    expect(read.families.get('espalier_native_jobs')?.series[0]?.labels).toEqual({ pool: 'compute' })
  })

  test('the same name twice, and named beside nameless, are refused', () => {
    const registry = new Registry()
    show(fakeNode(), { registry, name: 'a' })
    const nameless = new Registry()
    show(fakeNode(), { registry: nameless })

    expect(codeOf(() => show(fakeNode(), { registry, name: 'a' }))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => show(fakeNode(), { registry }))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => show(fakeNode(), { registry: nameless }))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => show(fakeNode(), { registry: nameless, name: 'a' }))).toBe('INVALID_ARGUMENT')
    expect(codeOf(() => show(fakeNode(), { registry: nameless, prefix: 'other_' }))).toBeUndefined()
  })

  test('when the last node leaves, the registry is as it was, and takes the next', async () => {
    const registry = new Registry()
    new Counter({ name: 'theirs_total', help: 'Of the application', registers: [registry] })
    const before = await registry.metrics()

    const detach = exportNode(fakeNode(), { registry, prefix: 'espalier_', name: 'a' })
    const other = exportNode(fakeNode(), { registry, prefix: 'espalier_', name: 'b' })
    detach()
    expect(await registry.metrics()).toContain('node="b"')
    expect(await registry.metrics()).not.toContain('node="a"')
    other()

    expect(await registry.metrics()).toBe(before)
    show(fakeNode(), { registry })
  })

  test("a metric of the application's is neither replaced nor removed", async () => {
    const registry = new Registry()
    new Counter({ name: 'espalier_open_streams', help: 'Of the application', registers: [registry] })

    expect(codeOf(() => show(fakeNode(), { registry }))).toBe('INVALID_ARGUMENT')
    expect(await registry.metrics()).toBe(
      '# HELP espalier_open_streams Of the application\n# TYPE espalier_open_streams counter\nespalier_open_streams 0\n',
    )
  })

  test('a second scrape shows the same sums again', async () => {
    const registry = new Registry()
    const node = fakeNode()
    show(node, { registry })
    node.metrics.counter('refusals', { reason: 'rate_limited' }).add()

    const scrapes = await Promise.all([registry.metrics(), registry.metrics()])
    for (const text of [...scrapes, await registry.metrics()]) {
      expect(total(readExposition(text), 'espalier_refusals_total', { reason: 'rate_limited' })).toBe(1)
    }
  })

  test('prom-client gets every metric as an object too, for clusters', async () => {
    const registry = new Registry()
    const node = fakeNode()
    show(node, { registry })
    node.metrics.histogram('transferSeconds', { operation: 'put' }).observe(2)

    const metrics = await registry.getMetricsAsJSON()
    const transfers = metrics.find(({ name }) => name === 'espalier_transfer_duration_seconds')

    expect(transfers).toMatchObject({ type: 'histogram', aggregator: 'sum' })
    expect(transfers?.values).toContainEqual({
      metricName: 'espalier_transfer_duration_seconds_count',
      labels: { operation: 'put' },
      value: 1,
    })
  })

  test('native figures are fetched once for all metrics of a scrape', async () => {
    const registry = new Registry()
    const node = fakeNode()
    show(node, { registry })

    await registry.metrics()
    expect(node.fetches).toBe(1)
    await registry.metrics()
    expect(node.fetches).toBe(2)
  })
})

function show(
  source: MetricsSource,
  options: { readonly registry: Registry; readonly name?: string; readonly prefix?: string },
): void {
  const { registry, name, prefix = 'espalier_' } = options
  detaches.push(exportNode(source, { registry, prefix, name }))
}

function fakeNode(): MetricsSource & { readonly fetches: number } {
  let fetches = 0
  return {
    metrics: new Meter(),
    transport: {
      figures: () => {
        fetches += 1
        return new Map([['count.refused.retry', 0]])
      },
      roundTrips: () => [],
    },
    rpc: {
      load: () => ({ underWay: 0, queued: 0, served: 0, dials: 0 }),
      connectionCounts: () => ({ inbound: 0, outbound: 0 }),
    },
    dht: {
      peerCount: 0,
      evenness: 1,
      networkSize: undefined,
      recordCount: 0,
      registers: { supersededCount: 0, watchedCount: 0, leaseCounts: { granted: 0, held: 0 } },
      providers: { keptCount: 0, announcedCount: 0, cachedBytes: 0 },
    },
    store: { pendingCalls: 0 },
    shards: undefined,
    get fetches() {
      return fetches
    },
  }
}

function codeOf(attempt: () => void): string | undefined {
  try {
    attempt()
    return undefined
  } catch (error) {
    return error instanceof EspalierError ? error.code : String(error)
  }
}
