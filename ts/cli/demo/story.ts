import { rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { EspalierError } from '../../base/error.ts'
import { createNode, type EspalierNode } from '../../node/node.ts'
import { formatBytes, formatMs, formatRate, type Output } from '../output.ts'
import type { DemoNetwork } from './demo-network.ts'
import { hashFile } from './file-hash.ts'
import type { NodeProcess } from './node-process.ts'

const KILLED_FIRST = 4

interface Scene {
  readonly network: DemoNetwork
  readonly path: string
  readonly sizeBytes: number
}

interface Stage {
  readonly output: Output
  readonly signal: AbortSignal
}

/** What the writer remembers: the reference, and which process keeps which shard. */
interface Stored {
  readonly ref: string
  readonly fileHash: string
  readonly holders: readonly NodeProcess[]
}

/** Store, lose four holders, read; lose a fifth, be refused; bring it back, read again. */
export async function runStory(scene: Scene, stage: Stage): Promise<void> {
  await startNetwork(scene, stage)
  const stored = await store(scene, stage)

  await kill(stored.holders.slice(0, KILLED_FIRST), stage)
  await readBack({ scene, stored, name: 'read-1' }, stage)

  const fifth = stored.holders[KILLED_FIRST]
  if (fifth === undefined) throw new EspalierError('INVALID_STATE', 'fewer than five holders took shards')
  await kill([fifth], stage)
  await expectRefusal({ scene, stored, name: 'read-2' }, stage)

  await revive({ scene, node: fifth }, stage)
  await readBack({ scene, stored, name: 'read-3' }, stage)
  showMemory(scene, stage)
}

async function startNetwork({ network }: Scene, { output, signal }: Stage): Promise<void> {
  const startedAtMs = performance.now()
  const total = network.nodes.length
  await network.start({
    signal,
    onStarted: (count) => output.progress(`starting nodes: ${count} of ${total}`),
  })
  const tookMs = performance.now() - startedAtMs
  output.fact({
    event: 'network',
    nodes: network.nodes.map(({ id, pid, port }) => ({ id, pid, port })),
    tookMs,
  })
  output.line(
    `${total} nodes run, each a process with its own directory, identity and UDP port (${formatMs(tookMs)})`,
  )
}

async function store(scene: Scene, stage: Stage): Promise<Stored> {
  const { output, signal } = stage
  const fileHash = await hashFile(scene.path)
  return withClient({ scene, name: 'writer' }, stage, async (client) => {
    showHandshake(client, output)
    output.line(
      `storing ${basename(scene.path)}, ${formatBytes(scene.sizeBytes)}, BLAKE3 ${fileHash.slice(0, 16)}…`,
    )
    const startedAtMs = performance.now()
    const result = await client.objects.putFile(scene.path, {
      signal,
      onProgress: ({ doneBytes }) =>
        output.progress(`stored ${formatBytes(doneBytes)} of ${formatBytes(scene.sizeBytes)}`),
    })
    const tookMs = performance.now() - startedAtMs

    const rate = formatRate(scene.sizeBytes, tookMs)
    output.line(
      `stored in ${formatMs(tookMs)} (${rate}) as ${result.layout.dataShards} + ${result.layout.parityShards} shards:`,
    )
    const holders = result.holders.map((holder) => {
      const node = scene.network.node(holder.nodeId)
      if (node === undefined)
        throw new EspalierError('INVALID_STATE', 'a shard went to a node of another network')
      const kind = holder.shardIndex < result.layout.dataShards ? 'data  ' : 'parity'
      output.line(
        `  shard ${String(holder.shardIndex).padStart(2)} ${kind} → ${holder.nodeId.slice(0, 12)}… ` +
          `port ${node.port}, ${holder.shards} files, ${formatBytes(holder.bytes)}`,
      )
      return node
    })
    output.fact({ event: 'stored', fileHash, tookMs, ...result })
    return { ref: result.ref, fileHash, holders }
  })
}

function showHandshake(client: EspalierNode, output: Output): void {
  const handshakes = client.connections().map(({ keyExchange, signature, cipherSuite }) => {
    return { keyExchange, signature, cipherSuite }
  })
  const kinds = [...new Set(handshakes.map((kind) => Object.values(kind).join(', ')))]
  output.fact({ event: 'handshakes', count: handshakes.length, kinds: handshakes.slice(0, 1) })
  for (const kind of kinds) output.line(`handshakes negotiated: ${kind}`)
}

async function kill(nodes: readonly NodeProcess[], { output, signal }: Stage): Promise<void> {
  signal.throwIfAborted()
  await Promise.all(nodes.map((node) => node.kill()))
  output.fact({ event: 'killed', nodes: nodes.map((node) => node.id) })
  output.line(`killed ${nodes.length === 1 ? 'a fifth holder' : `${nodes.length} holders`} (SIGKILL)`)
}

async function readBack(
  from: { readonly scene: Scene; readonly stored: Stored; readonly name: string },
  stage: Stage,
): Promise<void> {
  const { scene, stored, name } = from
  const target = join(scene.network.directory, name)
  const { tookMs } = await read({ scene, stored, name, target }, stage)
  const fileHash = await hashFile(target)
  await rm(target)
  if (fileHash !== stored.fileHash) {
    throw new EspalierError('STORAGE_CORRUPT', `the file that was read has the hash ${fileHash}`)
  }
  stage.output.fact({ event: 'read', fileHash, tookMs, sizeBytes: scene.sizeBytes })
  stage.output.line(`read back in ${formatMs(tookMs)} (${formatRate(scene.sizeBytes, tookMs)}), hash equal`)
}

async function expectRefusal(
  from: { readonly scene: Scene; readonly stored: Stored; readonly name: string },
  stage: Stage,
): Promise<void> {
  const target = join(from.scene.network.directory, from.name)
  try {
    await read({ ...from, target }, stage)
  } catch (error) {
    if (!(error instanceof EspalierError) || error.code !== 'SHARDS_MISSING') throw error
    stage.output.fact({ event: 'refused', code: error.code, message: error.message, details: error.details })
    stage.output.line(`refused, as it must be: ${error.code}: ${error.message}`)
    return
  }
  throw new EspalierError('INVALID_STATE', 'the file was read although too few shards are left')
}

async function revive(
  { scene, node }: { readonly scene: Scene; readonly node: NodeProcess },
  { output }: Stage,
): Promise<void> {
  const idBefore = node.id
  const contact = scene.network.anyAlive()
  await node.start({ bootstrap: contact === undefined ? [] : [contact.peer] })
  if (node.id !== idBefore) throw new EspalierError('KEY_INVALID', 'the node came back with another identity')
  output.fact({ event: 'revived', node: node.id })
  output.line(`started the fifth again on its directory: same identity ${node.id.slice(0, 12)}…, same shards`)
}

/** Reads with a fresh client that has nothing but the reference. */
function read(
  from: { readonly scene: Scene; readonly stored: Stored; readonly name: string; readonly target: string },
  stage: Stage,
): Promise<{ readonly tookMs: number }> {
  const { scene, stored, name, target } = from
  return withClient({ scene, name }, stage, async (client) => {
    const startedAtMs = performance.now()
    await client.objects.getToFile(stored.ref, target, {
      signal: stage.signal,
      onProgress: ({ doneBytes }) =>
        stage.output.progress(`read ${formatBytes(doneBytes)} of ${formatBytes(scene.sizeBytes)}`),
    })
    return { tookMs: performance.now() - startedAtMs }
  })
}

async function withClient<Result>(
  from: { readonly scene: Scene; readonly name: string },
  { signal }: Stage,
  use: (client: EspalierNode) => Promise<Result>,
): Promise<Result> {
  signal.throwIfAborted()
  const { network } = from.scene
  const contact = network.anyAlive()
  const client = createNode({
    dataDir: join(network.directory, `client-${from.name}`),
    hosts: ['127.0.0.1'],
    mode: 'clientOnly',
    allowPrivate: true,
    bootstrap: contact === undefined ? [] : [contact.peer],
  })
  try {
    await client.start({ signal })
    return await use(client)
  } finally {
    await client.stop()
  }
}

function showMemory({ network }: Scene, { output }: Stage): void {
  const nodesBytes = Math.max(...network.nodes.map((node) => node.memoryPeakBytes))
  const clientBytes = process.resourceUsage().maxRSS * 1024
  output.fact({ event: 'memory', nodePeakBytes: nodesBytes, clientPeakBytes: clientBytes })
  output.line(
    `peak memory: ${formatBytes(nodesBytes)} in the largest node, ${formatBytes(clientBytes)} in the client`,
  )
}
