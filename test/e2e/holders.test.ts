import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DemoNetwork } from '../../ts/cli/demo/demo-network.ts'
import type { NodeProcess } from '../../ts/cli/demo/node-process.ts'
import type { EspalierNode } from '../../ts/index.ts'
import { loadDemoNetwork, loadIndex } from './support/dist.ts'

const HOLDERS = 12
const PARITY = 4
// Every subset differs from the one before by one holder, so that each costs one kill and one start.
const SUBSETS = 50
const SIZES = [1, 5000, 700_000] as const

/** What was stored, and what it has to be when it is read. */
interface Stored {
  readonly ref: string
  readonly bytes: Buffer
  readonly shardOf: ReadonlyMap<string, number>
}

let network: DemoNetwork
let stored: Stored[] = []
let clients = 0

beforeAll(async () => {
  const { DemoNetwork } = await loadDemoNetwork()
  network = await DemoNetwork.create({ size: HOLDERS })
  await network.start({ signal: new AbortController().signal, onStarted: () => undefined })
  stored = await withClient(async (client) => {
    const results: Stored[] = []
    for (const size of SIZES) {
      const bytes = randomBytes(size)
      const { ref, holders, layout } = await client.objects.put(bytes)
      expect(layout).toEqual({ dataShards: 8, parityShards: PARITY })
      const shardOf = new Map(holders.map((holder): [string, number] => [holder.nodeId, holder.shardIndex]))
      expect(shardOf.size).toBe(HOLDERS)
      results.push({ ref, bytes, shardOf })
    }
    return results
  })
}, 120_000)

afterAll(async () => {
  await network.end()
})

describe('twelve holder processes', () => {
  test(`with four of them killed, in ${SUBSETS} different choices, every object is read byte for byte`, async () => {
    const tried = new Set<string>()
    let dead = shuffled(network.nodes).slice(0, PARITY)
    await Promise.all(dead.map((node) => node.kill()))
    while (tried.size < SUBSETS) {
      tried.add(
        dead
          .map((node) => node.dataDir)
          .sort()
          .join(),
      )
      await expectReadable()
      dead = await swapOne(dead, tried)
    }
    await Promise.all(dead.map(revive))

    expect(tried.size).toBe(SUBSETS)
  }, 300_000)

  test('a flipped byte in a shard file is detected, and the object is still read', async () => {
    const object = stored.at(-1)!
    const holder = network.nodes[3]!
    for (const file of shardFiles(holder)) flipByte(file)

    expect(await read(object)).toEqual(object.bytes)
    // With four others dead the damaged shard would be the eighth: only its hash can tell.
    const others = shuffled(network.nodes.filter((node) => node !== holder)).slice(0, PARITY)
    await Promise.all(others.map((node) => node.kill()))
    const failure = await read(object).catch((error: unknown) => error)
    await Promise.all(others.map(revive))

    expect(failure).toMatchObject({ code: 'SHARDS_MISSING', details: { found: 7, needed: 8 } })
  }, 120_000)
})

async function expectReadable(): Promise<void> {
  await withClient(async (client) => {
    for (const { ref, bytes } of stored) {
      const read = await client.objects.getBytes(ref)
      expect(bytes.equals(read)).toBe(true)
    }
  })
}

function read({ ref }: Stored): Promise<Buffer> {
  return withClient(async (client) => Buffer.from(await client.objects.getBytes(ref)))
}

/** Starts one of the dead again and kills one of the living, so that a choice comes out that is new. */
async function swapOne(dead: readonly NodeProcess[], tried: ReadonlySet<string>): Promise<NodeProcess[]> {
  const living = network.nodes.filter((node) => !dead.includes(node))
  for (const back of shuffled(dead)) {
    for (const victim of shuffled(living)) {
      const next = [...dead.filter((node) => node !== back), victim]
      const name = next
        .map((node) => node.dataDir)
        .sort()
        .join()
      if (tried.has(name)) continue
      // First the kill: the one that comes back must not join through the one that goes.
      await victim.kill()
      await revive(back)
      return next
    }
  }
  throw new Error('every neighbouring choice was tried')
}

async function revive(node: NodeProcess): Promise<void> {
  const idBefore = node.id
  await node.start({ bootstrap: [network.anyAlive()!.peer] })
  expect(node.id).toBe(idBefore)
}

/** A fresh client that knows nothing but one living node. */
async function withClient<Result>(use: (client: EspalierNode) => Promise<Result>): Promise<Result> {
  const { createNode } = await loadIndex()
  clients += 1
  const dataDir = join(network.directory, `client-${clients}`)
  const client = createNode({
    dataDir,
    mode: 'clientOnly',
    hosts: ['127.0.0.1'],
    allowPrivate: true,
    bootstrap: [network.anyAlive()!.peer],
  })
  try {
    await client.start()
    return await use(client)
  } finally {
    await client.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

function shardFiles(node: NodeProcess): string[] {
  const folder = join(node.dataDir, 'shards')
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  expect(files.length).toBeGreaterThanOrEqual(SIZES.length)
  return files
}

function flipByte(file: string): void {
  const bytes = readFileSync(file)
  const at = Math.floor(bytes.length / 2)
  bytes[at]! ^= 1
  writeFileSync(file, bytes)
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item): [number, Item] => [Math.random(), item])
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item)
}
