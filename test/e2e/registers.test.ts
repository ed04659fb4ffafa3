import { expect, test } from 'vitest'
import { localNetwork } from '../../ts/node/local-network.ts'
import type { RegisterChange } from '../../ts/index.ts'

const NODES = 8

test('over real QUIC: a watch goes on when nodes that push stop, and the history is read by everyone', async () => {
  await using network = await localNetwork(NODES)
  const [owner, watcher] = [network.nodes[0]!, network.nodes[1]!]
  const seen: RegisterChange[] = []
  const waiting: (() => void)[] = []
  const until = async (sequence: number) => {
    while ((seen.at(-1)?.sequence ?? 0) < sequence)
      await new Promise<void>((resolve) => waiting.push(resolve))
  }
  const controller = new AbortController()
  const { signal } = controller
  const ended = (async () => {
    for await (const change of watcher.registers.watch(owner.id, 'name', { signal })) {
      seen.push(change)
      for (const resolve of waiting.splice(0)) resolve()
    }
  })()
  await owner.registers.set('name', Buffer.from('one'))
  await until(1)
  const holders = await holdersOf()
  expect(holders.length).toBe(5)

  // The owner and the watcher keep the register too; of the others two stop.
  await Promise.all(
    holders
      .filter((node) => node !== owner && node !== watcher)
      .slice(0, 2)
      .map((node) => node.stop()),
  )
  for (const value of ['two', 'three']) await owner.registers.set('name', Buffer.from(value))
  await until(3)
  controller.abort()
  await ended
  expect(seen.map(({ sequence }) => sequence)).toEqual([...new Set(seen.map(({ sequence }) => sequence))])
  expect(Buffer.from(seen.at(-1)!.value).toString()).toBe('three')

  const reader = network.nodes.find((node) => node !== owner && !holders.includes(node))!
  const versions = await reader.registers.history(owner.id, 'name')
  expect(versions.map(({ sequence, value }) => [sequence, Buffer.from(value).toString()])).toEqual([
    [3, 'three'],
    [2, 'two'],
    [1, 'one'],
  ])

  /** Nodes that push the register to the watcher, from when there are as many as it wants. */
  async function holdersOf() {
    for (;;) {
      const texts = await Promise.all(network.nodes.map((node) => node.metrics()))
      const found = network.nodes.filter((_, at) =>
        texts[at]!.includes('espalier_register_leases{direction="inbound"} 1'),
      )
      if (found.length >= 5) return found
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}, 120_000)
