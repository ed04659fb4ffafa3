import { expect, test } from 'vitest'
import { toHex } from '../../../ts/base/bytes.ts'
import { nodeIdFromBytes } from '../../../ts/base/identity.ts'
import { hash } from '../../../ts/native/hash.ts'
import { formatReference, parseReadReference } from '../../../ts/objects/capability.ts'
import type { ObjectPointer } from '../../../ts/objects/options.ts'
import { FakeNetwork } from './fake-network.ts'

const DATA = new Uint8Array(100_000).fill(7)

test('an object that nobody knows is not found', async () => {
  const { client, capability } = await stored()
  const root = new Uint8Array(32)

  const reading = client.objects.get(formatReference({ ...capability, root }))

  await expect(reading).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('another read key opens nothing and writes nothing out', async () => {
  const { client, capability } = await stored()
  const ref = formatReference({ ...capability, readKey: new Uint8Array(32) })

  await expect(client.objects.getBytes(ref)).rejects.toMatchObject({ code: 'DECRYPT_FAILED' })
})

test('a reference that can only check reads nothing', async () => {
  const { client, capability } = await stored()
  const { root, owner } = capability

  const reading = client.objects.get(formatReference({ root, owner }))

  await expect(reading).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
})

test('a directory that answers with the pointer of another owner is found out by the manifest', async () => {
  const { network, capability } = await stored()
  const stranger = await network.client()
  const pointer = [...network.pointers.values()][0]!
  const reader = await network.client({}, { find: () => Promise.resolve(pointer) })

  const reading = reader.objects.get(formatReference({ ...capability, owner: stranger.id }))

  await expect(reading).rejects.toMatchObject({ code: 'RECORD_INVALID' })
})

test('a directory that names nodes without the manifest costs only the asking', async () => {
  const { network, ref } = await stored()
  const others = Array.from({ length: 100 }, (_, index) => nodeIdFromBytes(hash(Uint8Array.of(index))))
  const asked = new Set<string>()
  const lie = (pointer: ObjectPointer): ObjectPointer => ({ ...pointer, holders: others })
  const reader = await network.client(
    {},
    {
      find: () => Promise.resolve(lie([...network.pointers.values()][0]!)),
      locate: (id) => {
        asked.add(id)
        return Promise.resolve([])
      },
    },
  )

  reader.knowsAddresses = false

  await expect(reader.objects.get(ref)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect(asked.size).toBe(12)
})

test('holders with another manifest under the root are passed over', async () => {
  const { network, client, ref, root } = await stored()
  const nodes = [...network.nodes.values()]
  const right = nodes[0]!.shards!.kept.get(root)!
  const wrong = { ...right, bytes: right.bytes.map((byte, at) => (at === 3000 ? byte ^ 1 : byte)) }

  for (const node of nodes.slice(0, 11)) node.shards!.kept.set(root, wrong)
  expect(await client.objects.getBytes(ref)).toEqual(DATA)
  nodes[11]!.shards!.kept.set(root, wrong)
  await expect(client.objects.getBytes(ref)).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('a holder whose addresses the book lacks is looked up', async () => {
  const { network, ref } = await stored()
  const located: string[] = []
  const locate = (id: string): Promise<readonly never[]> => {
    located.push(id)
    return Promise.resolve([])
  }
  const reader = await network.client({}, { locate })
  reader.knowsAddresses = false

  expect(await reader.objects.getBytes(ref)).toEqual(DATA)
  expect(new Set(located)).toEqual(new Set(network.nodes.keys()))
})

test('a pointer that cannot be published fails the put', async () => {
  const network = await FakeNetwork.start(3)
  const failure = new Error('nobody took it')
  const client = await network.client({}, { publish: () => Promise.reject(failure) })

  await expect(client.objects.put(DATA)).rejects.toBe(failure)
})

async function stored() {
  const network = await FakeNetwork.start(12)
  const client = await network.client()
  const { ref } = await client.objects.put(DATA)
  const capability = parseReadReference(ref)
  return { network, client, ref, capability, root: toHex(capability.root) }
}
