import { describe, expect, test } from 'vitest'
import { keyFromBytes, keyOfNode, nodeIdFromBytes, type NodeId } from '../../../ts/base/identity.ts'
import { compareDistance } from '../../../ts/dht/key.ts'
import { Lookup, MAX_PEERS, type Peer } from '../../../ts/dht/lookup.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'

const rng = new SeededRng('lookup')
const self = nodeIdFromBytes(rng.bytes(32))
const target = keyFromBytes(rng.bytes(32))
const ADDRESS = { host: '192.0.2.1', port: 1 }

describe('a look-up', () => {
  test('asks the seeds, follows the answers, and ends when the k closest seen have all answered', () => {
    const all = peers(300)
    const lookup = start(all.slice(0, 20))

    const asked = run(lookup, () => sample(all, 20))

    expect(lookup.closest()).toEqual(all.toSorted(byDistance).slice(0, 20))
    expect(lookup.isDone).toBe(true)
    expect(lookup.answers).toBe(asked.length)
  })

  test('asks nobody twice over all paths, never itself, and at most alpha on each path at once', () => {
    const all = peers(200)
    const lookup = start(all.slice(0, 20), { alpha: 3, paths: 4 })
    const asked: NodeId[] = []
    const open = new Map<NodeId, number>()

    for (let turn = 0; !lookup.isDone; turn += 1) {
      for (const { path, peer } of lookup.next()) {
        asked.push(peer.id)
        open.set(peer.id, path)
      }
      const perPath = [0, 1, 2, 3].map((path) => [...open.values()].filter((at) => at === path).length)
      expect(Math.max(...perPath)).toBeLessThanOrEqual(3)
      const [id] = rng.below(2) === 0 ? [...open.keys()] : [...open.keys()].reverse()
      open.delete(id!)
      lookup.onAnswer(id!, [...sample(all, 19), { id: self, addresses: [ADDRESS] }])
      expect(turn).toBeLessThan(1_000)
    }

    expect(new Set(asked).size).toBe(asked.length)
    expect(asked).not.toContain(self)
  })

  test('deals its seeds to the paths in turn, and a path follows only what it was told', () => {
    const seeds = peers(4).toSorted(byDistance)
    const lookup = start(seeds, { paths: 2 })
    const first = lookup.next()

    expect(new Set(first.filter(({ path }) => path === 0).map(({ peer }) => peer.id))).toEqual(
      new Set([seeds[0]!.id, seeds[2]!.id]),
    )
    const [told] = peers(1)
    lookup.onAnswer(seeds[1]!.id, [told!])
    expect(lookup.next()).toEqual([{ path: 1, peer: told }])
  })

  test('with paths that liars own still finds the truth on another one', () => {
    const honest = peers(100)
    const liars = new Set(honest.slice(0, 15).map(({ id }) => id))
    const colluders = honest.filter(({ id }) => liars.has(id))
    // Three of four seeds lie: three paths meet colluders only.
    const seeds = [...honest.slice(0, 3), honest[50]!]
    const lookup = start(seeds, { paths: 4, k: 8 })

    run(lookup, (id) => (liars.has(id) ? colluders : sample(honest, 20)))

    const truth = honest.filter(({ id }) => !liars.has(id)).toSorted(byDistance)
    expect(lookup.closest().map(({ id }) => id)).toContain(truth[0]!.id)
  })

  test('ends with nothing when there is nobody, and when nobody answers', () => {
    expect(start([]).isDone).toBe(true)
    const lookup = start(peers(20))

    for (let turn = 0; !lookup.isDone && turn < 100; turn += 1) {
      for (const { peer } of lookup.next()) lookup.onFailure(peer.id)
    }

    expect(lookup.isDone).toBe(true)
    expect(lookup.closest()).toEqual([])
  })

  test('looks at twenty peers of an answer and at eight addresses of each', () => {
    const [seed, ...many] = peers(1 + MAX_PEERS * 50)
    const lookup = start([seed!], { paths: 1, k: 20, alpha: 100 })
    lookup.next()
    const addresses = Array.from({ length: 1_000 }, (_, at) => ({ host: '192.0.2.1', port: at + 1 }))

    lookup.onAnswer(
      seed!.id,
      many.map(({ id }) => ({ id, addresses })),
    )

    const asked = lookup.next().map(({ peer }) => peer)
    expect(asked.length).toBeLessThanOrEqual(MAX_PEERS)
    expect(asked.every(({ id }) => many.slice(0, MAX_PEERS).some((peer) => peer.id === id))).toBe(true)
    expect(asked.every((peer) => peer.addresses.length === 8)).toBe(true)
  })

  test('against an endless supply of ever nearer inventions stops after its requests are used up', () => {
    const lookup = start(peers(8), { maxRequests: 100 })
    let asked = 0

    for (; !lookup.isDone;) {
      for (const { peer } of lookup.next()) {
        asked += 1
        lookup.onAnswer(peer.id, inventions(20))
      }
      expect(asked).toBeLessThanOrEqual(100)
    }

    expect(asked).toBe(100)
  })

  test('asks a node again that failed at one address and was named at another, twice at most', () => {
    const [seed, other, third, fourth, victim] = peers(5)
    const at = (port: number): Peer => ({ id: victim!.id, addresses: [{ host: '192.0.2.9', port }] })
    const lookup = start([seed!, other!, third!, fourth!], { paths: 1, alpha: 10 })
    lookup.next()

    const asked = [seed!, other!, third!, fourth!].map(({ id }, port) => {
      lookup.onAnswer(id, [at(port + 1)])
      const questions = lookup.next()
      for (const { peer } of questions) lookup.onFailure(peer.id)
      return questions.map(({ peer }) => peer.addresses[0]!.port)
    })

    expect(asked).toEqual([[1], [2], [3], []])
  })

  test('begins again on fresh paths from seeds that it did not ask, and asks nobody twice', () => {
    const honest = peers(60).toSorted(byDistance)
    const liars = peers(8)
    const lookup = start(liars, { paths: 2, k: 8 })
    const first = run(lookup, () => liars)
    expect(first.length).toBe(8)
    expect(lookup.restart(liars)).toBe(false)

    const [fresh, other] = [honest[30]!, honest[40]!]
    expect(lookup.restart([fresh, liars[0]!, other])).toBe(true)
    const questions = lookup.next()
    expect(questions.map(({ path, peer }) => [path, peer.id])).toEqual([
      [4, fresh.id],
      [4, other.id],
    ])
    for (const { peer } of questions) lookup.onAnswer(peer.id, honest.slice(0, 20))
    const second = run(lookup, () => [...honest.slice(0, 15), ...liars])

    expect(second.some((id) => first.includes(id))).toBe(false)
    expect(lookup.closest()).toEqual([...honest, ...liars].toSorted(byDistance).slice(0, 8))
    expect(lookup.asked).toBe(lookup.answers)
    expect(lookup.hasAsked(liars[3]!.id)).toBe(true)
    expect(lookup.hasAsked(honest[59]!.id)).toBe(false)
  })

  test('spends no more requests on all its attempts than on one', () => {
    const lookup = start(peers(8), { maxRequests: 20 })
    run(lookup, () => [])

    while (lookup.restart(peers(8))) run(lookup, () => [])

    expect(lookup.asked).toBe(20)
  })

  test('ignores answers and failures of nodes that it did not ask, and second ones', () => {
    const [seed, stranger] = peers(2)
    const lookup = start([seed!])
    lookup.onAnswer(stranger!.id, peers(5))
    lookup.onAnswer(seed!.id, peers(5))
    expect(lookup.next().length).toBe(1)

    lookup.onFailure(seed!.id)
    lookup.onAnswer(seed!.id, peers(5))

    expect(lookup.isDone).toBe(true)
    expect(lookup.closest()).toEqual([])
  })
})

function start(
  seeds: readonly Peer[],
  options: Partial<ConstructorParameters<typeof Lookup>[0]> = {},
): Lookup {
  return new Lookup({ target, self, seeds, ...options })
}

/** Answers every question in an order that the seed decides; the ids that were asked. */
function run(lookup: Lookup, answer: (id: NodeId) => readonly Peer[]): NodeId[] {
  const asked: NodeId[] = []
  const open: NodeId[] = []
  while (!lookup.isDone) {
    open.push(...lookup.next().map(({ peer }) => peer.id))
    const [id] = open.splice(rng.below(open.length), 1)
    asked.push(id!)
    lookup.onAnswer(id!, answer(id!))
    expect(asked.length).toBeLessThan(1_000)
  }
  return asked
}

function peers(count: number): Peer[] {
  return Array.from({ length: count }, () => ({ id: nodeIdFromBytes(rng.bytes(32)), addresses: [ADDRESS] }))
}

/** Ever nearer to the target. */
let closeness = 0
function inventions(count: number): Peer[] {
  return Array.from({ length: count }, () => {
    closeness += 1
    const bytes = Uint8Array.from(target)
    new DataView(bytes.buffer).setUint32(28, 0xffff_ffff - closeness)
    return { id: nodeIdFromBytes(bytes), addresses: [ADDRESS] }
  })
}

/** What an honest node answers: the nearest that exist. */
function sample(all: readonly Peer[], count: number): Peer[] {
  const known = all.filter(() => rng.below(2) === 0)
  return [...known].sort(byDistance).slice(0, count)
}

function byDistance(x: Peer, y: Peer): number {
  return compareDistance(target, { a: keyOfNode(x.id), b: keyOfNode(y.id) })
}
