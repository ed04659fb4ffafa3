import { expect, test } from 'vitest'
import { nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { Lost } from '../../../ts/dht/lost.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'

const DAY_MS = 24 * 3_600_000
const rng = new SeededRng('lost')

test('the lost are tried in turn for three days, and one that is back no more', () => {
  const lost = new Lost()
  const [a, b, c] = [peer(), peer(), peer()]
  lost.add(a, 0)
  lost.add(b, 0)
  lost.add(c, 1)
  lost.add(a, 2)
  lost.delete(b.id)

  expect([1, 2, 3, 3 * DAY_MS - 1].map((atMs) => lost.next(atMs)?.id)).toEqual([a.id, c.id, a.id, c.id])
  expect(lost.next(3 * DAY_MS)?.id).toBe(c.id)
  expect(lost.next(3 * DAY_MS + 1)).toBeUndefined()
})

test('of more than sixty-four the first is forgotten, and one without an address is not kept', () => {
  const lost = new Lost()
  const peers = Array.from({ length: 65 }, peer)
  lost.add({ id: peer().id, addresses: [] }, 0)
  for (const each of peers) lost.add(each, 0)

  expect(lost.next(1)?.id).toBe(peers[1]!.id)
})

function peer() {
  return { id: nodeIdFromBytes(rng.bytes(32)), addresses: [{ host: '192.0.2.1', port: 1 }] }
}
