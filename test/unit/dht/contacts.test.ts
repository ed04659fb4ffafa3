import { expect, test, vi } from 'vitest'
import { EspalierError } from '../../../ts/base/error.ts'
import { keyOfNode, nodeIdFromBytes, type NodeId } from '../../../ts/base/identity.ts'
import { silentLog } from '../../../ts/base/log.ts'
import { Meter } from '../../../ts/base/metrics.ts'
import { Contacts } from '../../../ts/dht/contacts.ts'
import { keyInBucket } from '../../../ts/dht/key.ts'
import type { Address } from '../../../ts/net/address.ts'
import type { RpcPort } from '../../../ts/net/rpc-port.ts'
import { SeededRng } from '../../../ts/sim/rng.ts'
import { memoryStore } from '../../../ts/storage/memory.ts'
import { FakeNetwork, FakePort, realCrypto } from './fake-network.ts'

const OWN = nodeIdFromBytes(new Uint8Array(32))
const SERVES = { serves: true, addresses: [] }
const rng = new SeededRng('contacts')

test('contacts that could not be written are written the next time, and the others are not written again', async () => {
  const { contacts, meet, store } = contactsOf({ bucketSize: 1_000 })
  for (let at = 0; at < 1_000; at += 1) meet(0, `2a00:${at}::1`)
  const original = store.write.bind(store)
  const sizes: number[] = []
  vi.spyOn(store, 'write').mockImplementation(async (changes) => {
    sizes.push(changes.length)
    if (sizes.length === 2) throw new EspalierError('STORAGE_FULL', 'no room')
    await original(changes)
  })

  await expect(contacts.save()).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  expect(await store.count('peers')).toBe(500)
  await contacts.save()
  await contacts.save()

  expect(contacts.table.size).toBe(1_000)
  expect(await store.count('peers')).toBe(1_000)
  expect(sizes).toEqual([500, 500, 500])
})

test('who takes the place of a contact that no longer serves is saved', async () => {
  const { contacts, meet, saved } = contactsOf({ bucketSize: 1 })
  const [deeper, first, waiting] = [meet(5, '2a00:5::1'), meet(0, '2a00:1::1'), meet(0, '2a00:2::1')]
  await contacts.save()
  expect(await saved()).toEqual([deeper, first].sort())

  contacts.heard(callerOf(first), { ...SERVES, serves: false })
  await contacts.save()

  expect(await saved()).toEqual([deeper, waiting].sort())
})

test('a contact that moves to where another is leaves the disk too, and who takes its place is saved', async () => {
  const { contacts, meet, move, saved } = contactsOf({ bucketSize: 1 })
  const [deeper, first, waiting] = [meet(5, '2a00:5::1'), meet(0, '2a00:1::1'), meet(0, '2a00:2::1')]
  await contacts.save()

  move(first, '2a00:5::1')
  await contacts.save()

  expect(contacts.table.has(first)).toBe(false)
  expect(await saved()).toEqual([deeper, waiting].sort())
})

/** A port whose peers come from where the test says. */
class MovingPort extends FakePort {
  readonly hosts = new Map<NodeId, string>()
  readonly listeners: Parameters<RpcPort['onPeer']>[0][] = []

  override addressesOf(id: NodeId): readonly Address[] {
    const host = this.hosts.get(id)
    return host === undefined ? [] : [{ host, port: 4_840 }]
  }

  override onPeer(listener?: Parameters<RpcPort['onPeer']>[0]): void {
    if (listener !== undefined) this.listeners.push(listener)
  }
}

function contactsOf({ bucketSize }: { readonly bucketSize: number }) {
  const network = new FakeNetwork('contacts')
  const rpc = new MovingPort(network, { id: OWN, address: { host: '2a00:ffff::1', port: 4_840 } })
  const { clock } = network.world
  const env = { clock, rng, log: silentLog, metrics: new Meter(), crypto: realCrypto(rng.bytes(32)) }
  const store = memoryStore({ clock })
  const contacts = new Contacts(
    { rpc, env, store },
    {
      serves: true,
      ownAddresses: () => [],
      requestTimeoutMs: 5_000,
      bucketSize,
      networks: { allowPrivate: false },
      onChange: () => undefined,
    },
  )
  const move = (id: NodeId, host: string): void => {
    rpc.hosts.set(id, host)
    const remote = { host, port: 4_840 }
    for (const listener of rpc.listeners) listener({ id, remote, outbound: false })
  }
  return {
    contacts,
    store,
    move,
    /** A request comes from a node that nobody knew, which shares `prefixBits` bits with this one. */
    meet: (prefixBits: number, host: string): NodeId => {
      const id = nodeIdFromBytes(keyInBucket(keyOfNode(OWN), { prefixBits, random: rng.bytes(32) }))
      move(id, host)
      contacts.heard(callerOf(id), SERVES)
      return id
    },
    saved: async (): Promise<NodeId[]> => {
      const rows = await store.scan('peers', { limit: 10 })
      return rows.map(({ key }) => nodeIdFromBytes(key)).sort()
    },
  }
}

function callerOf(id: NodeId) {
  return { id, remote: { host: '2a00::1', port: 4_840 }, signal: new AbortController().signal }
}
