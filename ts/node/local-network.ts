import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EspalierError } from '../base/error.ts'
import { checkOptions, optional, shape } from '../base/options.ts'
import { reading } from '../base/read.ts'
import { checkInteger } from '../native/check.ts'
import { formatAddress } from '../net/address.ts'
import { Closers } from './closers.ts'
import { createNode, type EspalierNode } from './node.ts'
import type { NodeOptions } from './options.ts'

const MAX_SIZE = 64
// Starting more at once only makes each of them slower.
const STARTED_TOGETHER = 4
// What is in it is checked by `createNode`.
const OPTIONS = { node: optional(shape(isObject, 'an object of node options')) }

/**
 * What {@link localNetwork} may be told beside the size.
 *
 * @category Local network
 */
export interface LocalNetworkOptions {
  /** For every node; the directory, the host, the port and the peer to join through are chosen. */
  readonly node?: Omit<NodeOptions, 'dataDir' | 'port' | 'hosts' | 'bootstrap' | 'allowPrivate'>
}

/**
 * Several real nodes in this process: see {@link localNetwork}.
 *
 * @category Local network
 */
export interface LocalNetwork extends AsyncDisposable {
  readonly nodes: readonly EspalierNode[]
  /** What the nodes join through, for one more of your own: `ID@127.0.0.1:PORT`. */
  readonly bootstrap: string
  /** The directory of the first node is `0` below it, of the second `1`, and so on. */
  readonly directory: string
  /** Stops every node and removes the directory. Idempotent. */
  stop(): Promise<void>
}

/**
 * A network of `size` real nodes (1 to 64) for tests: post-quantum QUIC over loopback, directories of
 * their own below a temporary one, everything gone after `stop` or at the end of `await using`.
 *
 * @example
 * ```ts
 * import { localNetwork } from 'espalier/testing'
 *
 * const network = await localNetwork(3)
 * const [alice, bob] = network.nodes
 * const { ref } = await alice!.objects.put(Buffer.from('an apple tree'))
 * console.log(Buffer.from(await bob!.objects.getBytes(ref)).toString()) // an apple tree
 * await network.stop()
 * ```
 *
 * @category Local network
 */
export async function localNetwork(size: number, options: LocalNetworkOptions = {}): Promise<LocalNetwork> {
  checkInteger('size', size, 1, MAX_SIZE)
  const checked = checkOptions(options, OPTIONS) as LocalNetworkOptions
  const directory = await mkdtemp(join(tmpdir(), 'espalier-local-'))
  const closers = new Closers()
  closers.add(() => rm(directory, { recursive: true, force: true }))
  const [firstDir = '', ...otherDirs] = Array.from({ length: size }, (_, index) =>
    join(directory, String(index)),
  )
  try {
    const first = await startNode({ dataDir: firstDir, bootstrap: [] }, checked, closers)
    const bootstrap = contactOf(first)
    const others = await startOthers(otherDirs, (dataDir) =>
      startNode({ dataDir, bootstrap: [bootstrap] }, checked, closers),
    )
    const stop = (): Promise<void> => closers.run()
    return { nodes: [first, ...others], bootstrap, directory, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await closers.run()
    throw error
  }
}

async function startNode(
  place: { readonly dataDir: string; readonly bootstrap: readonly string[] },
  options: LocalNetworkOptions,
  closers: Closers,
): Promise<EspalierNode> {
  const given = reading('node', () => ({ ...options.node }))
  const node = createNode({ ...given, ...place, hosts: ['127.0.0.1'], allowPrivate: true })
  closers.add(() => node.stop())
  await node.start()
  return node
}

/** In the order of `dataDirs`, a few at a time. */
async function startOthers(
  dataDirs: readonly string[],
  start: (dataDir: string) => Promise<EspalierNode>,
): Promise<EspalierNode[]> {
  const started: EspalierNode[] = []
  for (let at = 0; at < dataDirs.length; at += STARTED_TOGETHER) {
    started.push(...(await Promise.all(dataDirs.slice(at, at + STARTED_TOGETHER).map(start))))
  }
  return started
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function contactOf(node: EspalierNode): string {
  const [address] = node.addresses
  if (address === undefined) throw new EspalierError('INVALID_STATE', 'the first node has no address')
  return `${node.id}@${formatAddress(address)}`
}
