import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EspalierNode } from '../../ts/index.ts'
import { loadIndex } from './support/dist.ts'

const NODES = 6
const ROOT = randomBytes(32)
const CHILDREN = Array.from({ length: 5_000 }, () => randomBytes(32))

let directory = ''
let nodes: EspalierNode[] = []

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'espalier-providers-'))
  const first = await start(0)
  nodes = [first]
  while (nodes.length < NODES) nodes.push(await start(nodes.length))
}, 120_000)

afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop()))
  await rm(directory, { recursive: true, force: true })
})

test('over real QUIC: announced, found by everyone, split between providers, there again after a restart', async () => {
  const [whole, half, reader, other] = nodes as [EspalierNode, EspalierNode, EspalierNode, EspalierNode]
  const { accepted, epoch } = await whole.providers.announce(ROOT, CHILDREN)
  await half.providers.announce(ROOT, CHILDREN.slice(0, 2_500))
  expect(accepted.length).toBe(NODES)

  const { assignments, missing } = await reader.providers.plan(CHILDREN, { root: ROOT })
  expect([...assignments.keys()].sort()).toEqual([half.id, whole.id].sort())
  expect(missing).toEqual([])
  const asked = await requests(reader)
  for (const child of CHILDREN.slice(0, 500)) {
    const found = await reader.providers.find(child, { root: ROOT })
    expect(found.map(({ id }) => id).sort()).toEqual([half.id, whole.id].sort())
  }
  expect(await requests(reader)).toBe(asked)

  await whole.stop()
  nodes[0] = await start(0, nodes[1])
  expect(nodes[0].id).toBe(whole.id)
  // Everything is as it was: the same set is no new summary.
  expect((await nodes[0].providers.announce(ROOT, CHILDREN)).epoch).toBe(epoch)
  const found = await other.providers.find(CHILDREN[4_000]!, { root: ROOT })
  expect(found.map(({ id }) => id)).toEqual([whole.id])

  expect(await nodes[0].providers.withdraw(ROOT)).toBe(true)
  const late = nodes[4]!
  expect((await late.providers.find(CHILDREN[0]!, { root: ROOT })).map(({ id }) => id)).toEqual([half.id])
}, 120_000)

test('what JavaScript may pass is checked: wrong types, sizes and options are INVALID_ARGUMENT', async () => {
  const { providers } = nodes[2]!
  const root = ROOT
  const wrong: readonly (() => unknown)[] = [
    () => providers.announce('root' as never, CHILDREN),
    () => providers.announce(root, 'ids' as never),
    () => providers.announce(root, 5 as never),
    () => providers.announce(root, [root.subarray(1)]),
    () => providers.announce(root, []),
    () => providers.announce(root, [root], { timeoutMs: -1 }),
    () => providers.announce(root, [root], { timeout: 5 } as never),
    () => providers.withdraw(undefined as never),
    () => providers.find(root, {} as never),
    () => providers.find(root, { root: root.subarray(1) }),
    () => providers.find('id' as never, { root }),
    () => providers.plan([root, 'id' as never], { root }),
    () => providers.missed(root, { root, provider: 'nobody' as never }),
  ]

  for (const [at, call] of wrong.entries()) {
    const outcome = await Promise.resolve()
      .then(call)
      .catch((error: unknown) => error)
    expect(outcome, `call ${at}`).toMatchObject({ code: 'INVALID_ARGUMENT' })
  }
})

async function start(number: number, peer: EspalierNode | undefined = nodes[0]): Promise<EspalierNode> {
  const { createNode } = await loadIndex()
  const [address] = peer?.addresses ?? []
  const bootstrap =
    peer === undefined || address === undefined ? [] : [`${peer.id}@127.0.0.1:${address.port}`]
  const dataDir = join(directory, String(number))
  const node = createNode({ dataDir, hosts: ['127.0.0.1'], allowPrivate: true, bootstrap })
  await node.start()
  return node
}

/** Requests that a node has made about providers. */
async function requests(node: EspalierNode): Promise<number> {
  const lines = (await node.metrics()).split('\n')
  const counts = lines.filter((line) =>
    /^espalier_requests_total\{protocol="dht\.get(?:Providers|Summary)",direction="outbound"/.test(line),
  )
  return counts.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}
