import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeProcess } from './node-process.ts'

// Starting many runtimes at once only makes each of them slower.
const STARTED_TOGETHER = 4

/** A network of node processes on this machine with a temporary directory of its own. */
export class DemoNetwork {
  readonly directory: string
  readonly nodes: readonly NodeProcess[]

  private constructor(directory: string, nodes: readonly NodeProcess[]) {
    this.directory = directory
    this.nodes = nodes
  }

  /** Makes the directory; nothing runs yet. */
  static async create(options: { readonly size: number }): Promise<DemoNetwork> {
    const directory = await mkdtemp(join(tmpdir(), 'espalier-demo-'))
    const nodes = Array.from({ length: options.size }, (_, index) => {
      return new NodeProcess({ dataDir: join(directory, `node-${String(index + 1).padStart(2, '0')}`) })
    })
    return new DemoNetwork(directory, nodes)
  }

  /** Starts the first node, then the others, who join through it. */
  async start(options: {
    readonly signal: AbortSignal
    readonly onStarted: (count: number) => void
  }): Promise<void> {
    const [first, ...others] = this.nodes
    if (first === undefined) return
    await first.start({ bootstrap: [] })
    let count = 1
    options.onStarted(count)
    const waiting = [...others]
    const startNext = async (): Promise<void> => {
      for (let node = waiting.shift(); node !== undefined; node = waiting.shift()) {
        options.signal.throwIfAborted()
        await node.start({ bootstrap: [first.peer] })
        count += 1
        options.onStarted(count)
      }
    }
    await Promise.all(Array.from({ length: STARTED_TOGETHER }, startNext))
  }

  node(id: string): NodeProcess | undefined {
    return this.nodes.find((node) => node.id === id)
  }

  /** A node that runs, for newcomers to join through. */
  anyAlive(): NodeProcess | undefined {
    return this.nodes.find((node) => node.alive)
  }

  /** Stops what runs and removes the directory. Idempotent. */
  async end(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()))
    await rm(this.directory, { recursive: true, force: true })
  }
}
