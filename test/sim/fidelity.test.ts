import { expect, test } from 'vitest'
import { headOfNode } from '../../ts/dht/key.ts'
import type { NodeId } from '../../ts/base/identity.ts'
import { simulatedNetwork } from '../../ts/sim/simulated-network.ts'
import { DhtNetwork } from './dht-network.ts'

const MINUTE_MS = 60_000
const NODES = 16
const KILLED = 4
const VALUE = new TextEncoder().encode('a value')

/** What one run of the scenario came to. */
interface Course {
  /** Answered and refused requests of all kinds, counted by those who were asked. */
  readonly requests: number
  readonly values: readonly (string | undefined)[]
  readonly tableSizes: readonly number[]
}

/** The few calls that the scenario needs of a network. */
interface Stage {
  readonly run: (durationMs: number) => Promise<void>
  readonly until: <T>(promise: Promise<T>) => Promise<T>
  readonly nodes: () => readonly {
    readonly id: NodeId
    readonly put: (name: string, value: Uint8Array) => Promise<unknown>
    readonly get: (name: string, owner: NodeId) => Promise<{ readonly value: Uint8Array } | undefined>
    readonly peerCount: () => number
    readonly kill: () => void
  }[]
  readonly requests: () => number
}

test('one scenario takes as many requests over the transport as over requests by value and by bytes', async () => {
  const whole = await play(await overTransport())
  const byValue = await play(await overRequests('values'))
  const byBytes = await play(await overRequests('bytes'))

  expect(whole.values.every((value) => value === 'a value')).toBe(true)
  expect(byValue.values).toEqual(whole.values)
  expect(byBytes).toEqual(byValue)
  expect(byValue.tableSizes).toEqual(whole.tableSizes)
  expect(Math.abs(byValue.requests / whole.requests - 1)).toBeLessThan(0.05)
}, 240_000)

/** Growing, writing, deaths without a word, reading, and half an hour of upkeep. */
async function play(stage: Stage): Promise<Course> {
  await stage.run(MINUTE_MS)
  const [writer, ...others] = stage.nodes()
  await stage.until(writer!.put('name', VALUE))
  for (const node of others.slice(0, KILLED)) node.kill()
  const readers = others.slice(KILLED)
  const values: (string | undefined)[] = []
  for (const reader of readers) {
    const read = await stage.until(reader.get('name', writer!.id))
    values.push(read === undefined ? undefined : new TextDecoder().decode(read.value))
  }
  await stage.run(30 * MINUTE_MS)
  const tableSizes = [writer!, ...readers].map((node) => node.peerCount())
  return { requests: stage.requests(), values, tableSizes }
}

async function overTransport(): Promise<Stage> {
  const network = new DhtNetwork('fidelity', { latencyMs })
  await network.grow(NODES)
  const all = [...network.nodes]
  return {
    run: (durationMs) => network.world.run(durationMs),
    until: (promise) => network.world.runUntil(promise),
    nodes: () =>
      all.map((node) => ({
        id: node.id,
        put: (name, value) => node.dht.putValue(name, value),
        get: (name, owner) => node.dht.getValue(name, { owner }),
        peerCount: () => node.dht.peerCount,
        kill: () => network.kill(node),
      })),
    requests: () => {
      const counters = all.flatMap(({ metrics }) => metrics.counters('requests'))
      const inbound = counters.filter(({ labels }) => labels['direction'] === 'inbound')
      return inbound.reduce((sum, { value }) => sum + value.value, 0)
    },
  }
}

async function overRequests(wire: 'values' | 'bytes'): Promise<Stage> {
  const network = await simulatedNetwork(1, { seed: 'fidelity', latencyMs, wire })
  const [first] = network.nodes
  // One after the other, as the other stage does.
  while (network.nodes.length < NODES) {
    const node = network.add()
    await node.start()
    await network.until(node.join([{ id: first!.id, addresses: [first!.address] }]))
  }
  return {
    run: (durationMs) => network.run(durationMs),
    until: (promise) => network.until(promise),
    nodes: () =>
      network.nodes.map((node) => ({
        id: node.id,
        put: (name, value) => node.put(name, value),
        get: (name, owner) => node.get(name, { owner }),
        peerCount: () => node.peers().length,
        kill: () => node.crash(),
      })),
    requests: () => network.network.requests,
  }
}

function latencyMs(a: NodeId, b: NodeId): number {
  return 5 + (((headOfNode(a).low ^ headOfNode(b).low) >>> 0) % 76)
}
