import { keyOfNode, type NodeId } from '../base/identity.ts'
import { headOfNode, prefixBitsOfHeads } from '../dht/key.ts'
import type { SeededRng } from './rng.ts'
import { drawTarget } from './settlement.ts'
import type { SimulatedNetwork } from './simulated-network.ts'

/** Contacts of one bucket, as the product has them. */
const BUCKET_SIZE = 20

/** What the tables of running nodes break of their own rules, in plain words. */
export function brokenTables(network: SimulatedNetwork): string[] {
  const broken: string[] = []
  const known = new Set(network.nodes.map(({ id }) => id))
  for (const node of network.nodes.filter(({ isUp }) => isUp)) {
    const own = headOfNode(node.id)
    const ids = node.peers().map(({ id }) => id)
    const sizes = new Map<number, number>()
    for (const id of ids) {
      if (id === node.id) broken.push(`${short(node.id)} has itself in its table`)
      if (!known.has(id)) broken.push(`${short(node.id)} has ${short(id)} in its table, who never was there`)
      const bucket = prefixBitsOfHeads(own, headOfNode(id))
      sizes.set(bucket, (sizes.get(bucket) ?? 0) + 1)
    }
    if (new Set(ids).size < ids.length) broken.push(`${short(node.id)} has somebody twice in its table`)
    for (const [bucket, size] of sizes) {
      if (size > BUCKET_SIZE) broken.push(`${short(node.id)} has ${size} contacts in bucket ${bucket}`)
    }
  }
  return broken
}

/** The share of the `count` nearest that look-ups from random running nodes find, against those that are the nearest. */
export async function exactness(
  network: SimulatedNetwork,
  { looks, count, rng }: { readonly looks: number; readonly count: number; readonly rng: SeededRng },
): Promise<number> {
  const running = network.nodes.filter(({ isUp }) => isUp)
  let expected = 0
  let found = 0
  for (let look = 0; look < looks; look += 1) {
    const node = running[rng.below(running.length)]
    if (node === undefined) break
    const target = drawTarget(rng)
    const nearest = network.nearest(target.id, count + 1).filter((id) => id !== node.id)
    const closest = await network.until(node.dht.findClosest(keyOfNode(target.id)))
    const ids = new Set(closest.map(({ id }) => id))
    for (const id of nearest.slice(0, count)) {
      expected += 1
      if (ids.has(id)) found += 1
    }
  }
  return expected === 0 ? 1 : found / expected
}

/** What nodes keep beyond what they may, in plain words. */
export function brokenBudgets(network: SimulatedNetwork, maxRecords: number): string[] {
  return network.nodes
    .filter(({ isUp, dht }) => isUp && dht.recordCount > maxRecords)
    .map(({ id, dht }) => `${short(id)} keeps ${dht.recordCount} records, more than ${maxRecords}`)
}

function short(id: NodeId): string {
  return id.slice(0, 8)
}
