import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createNode, type EspalierNode } from '../../ts/node/node.ts'
import type { MetricsOptions } from '../../ts/node/options.ts'
import { readExposition, total } from './exposition.ts'

let directory = ''
const nodes: EspalierNode[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-monitored-'))
})

afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop()
  rmSync(directory, { recursive: true })
})

describe('a node with metrics', () => {
  test('shows them without any option, and opens no port', async () => {
    const node = make()
    await node.start()

    expect(total(readExposition(await node.metrics()), 'espalier_native_handles', { kind: 'endpoint' })).toBe(
      1,
    )
    expect(node.metricsAddress).toBeUndefined()
  })

  test('registers them in a registry of the caller and takes them out when it stops', async () => {
    const registry = new Registry()
    const node = make({ registry, prefix: 'mine_' })
    await node.start()

    expect(total(readExposition(await registry.metrics()), 'mine_stored_records')).toBe(0)
    expect(await node.metrics()).toContain('mine_stored_records 0')
    await node.stop()
    expect(registry.getMetricsAsArray()).toEqual([])
    await expect(node.metrics()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('gives up its start when the registry has a node already, and leaves that one alone', async () => {
    const registry = new Registry()
    const [first, second] = [make({ registry }), make({ registry })]
    await first.start()

    await expect(second.start()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(readExposition(await registry.metrics()).families.size).toBeGreaterThan(30)
  })

  test('gives up its start when the port for the metrics is taken, and holds nothing then', async () => {
    const first = make({ port: 0 })
    await first.start()
    const port = first.metricsAddress?.port ?? 0
    const second = make({ port })

    await expect(second.start()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await first.stop()
    // Neither the port nor the directory of the one that failed is held by anybody.
    const third = make({ port }, nodes.length - 1)
    await third.start()
    expect((await fetch(`http://127.0.0.1:${port}/ready`)).status).toBe(200)
  })

  test('is healthy but not ready while it joins', async () => {
    const first = make({ port: 0 })
    await first.start()
    const port = first.metricsAddress?.port ?? 0
    await first.stop()
    // Nobody answers there, so that joining takes until it is given up.
    const silent = createSocket('udp4').bind(0, '127.0.0.1')
    await once(silent, 'listening')
    const bootstrap = [`127.0.0.1:${silent.address().port}`]
    const second = make({ port }, 1, bootstrap)
    const starting = second.start().catch((error: unknown) => error)

    const { status, text } = await untilServed(`http://127.0.0.1:${port}/ready`)
    expect([status, text]).toEqual([503, 'the node is starting\n'])
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200)
    await second.stop()
    expect(await starting).toMatchObject({ code: 'ABORTED' })
    silent.close()
  })

  test.each([
    ['a port that is none', { port: 65_536 }],
    ['a host that is no address', { host: 'localhost' }],
    ['a prefix that no metric can begin with', { prefix: '1_' }],
    ['a prefix that is too long', { prefix: 'p'.repeat(65) }],
    ['an empty name', { name: '' }],
    ['something else than a registry', { registry: JSON.parse('{}') as Registry }],
    ['an option that is unknown', { prot: 1 } as MetricsOptions],
  ])('refuses %s', (_, metrics) => {
    expect(() => createNode({ dataDir: directory, metrics })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    )
  })
})

function make(
  metrics?: MetricsOptions,
  number = nodes.length,
  bootstrap: readonly string[] = [],
): EspalierNode {
  const node = createNode({
    dataDir: join(directory, String(number)),
    hosts: ['127.0.0.1'],
    allowPrivate: true,
    bootstrap,
    ...(metrics === undefined ? {} : { metrics }),
  })
  nodes.push(node)
  return node
}

/** What a server answers that is about to open its port. */
async function untilServed(url: string): Promise<{ readonly status: number; readonly text: string }> {
  for (;;) {
    const answer = await fetch(url).catch(() => undefined)
    if (answer !== undefined) return { status: answer.status, text: await answer.text() }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
