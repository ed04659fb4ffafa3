import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { EspalierError } from '../../base/error.ts'

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))
const START_TIMEOUT_MS = 60_000

/** One node in a process of its own, started through the command line like a user's. */
export class NodeProcess {
  readonly dataDir: string
  /** The highest resident memory that the process reported in any of its lives. */
  memoryPeakBytes = 0
  #child: ChildProcess | undefined
  #id = ''
  #address = ''
  #port = 0

  constructor(options: { readonly dataDir: string }) {
    this.dataDir = options.dataDir
  }

  get id(): string {
    return this.#id
  }

  /** `ID@127.0.0.1:PORT`. */
  get peer(): string {
    return `${this.#id}@${this.#address}`
  }

  get port(): number {
    return this.#port
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  get alive(): boolean {
    return this.#child !== undefined
  }

  /** Starts, or starts again on the same directory and port; resolves when the node listens. */
  async start(options: { readonly bootstrap: readonly string[] }): Promise<void> {
    const child = spawn(
      process.execPath,
      [
        ...[
          MAIN,
          'node',
          '--json',
          '--stop-with-stdin',
          '--no-metrics',
          '--allow-private',
          '--host',
          '127.0.0.1',
        ],
        ...['--port', String(this.#port), '--data', this.dataDir],
        ...options.bootstrap.flatMap((peer) => ['--bootstrap', peer]),
      ],
      // The pipe on standard input is the leash: when this process dies, the node stops.
      { stdio: ['pipe', 'pipe', 'pipe'] },
    )
    this.#child = child
    child.once('exit', () => (this.#child = undefined))
    await this.#listening(child)
  }

  /** SIGKILL: no goodbye, no flush. Resolves when the process is gone. */
  kill(): Promise<void> {
    return this.#end((child) => child.kill('SIGKILL'))
  }

  /** Asks the node to stop and waits; after five seconds it is killed. */
  async stop(): Promise<void> {
    const child = this.#child
    const timer = setTimeout(() => child?.kill('SIGKILL'), 5000)
    await this.#end((running) => running.stdin?.end())
    clearTimeout(timer)
  }

  async #end(how: (child: ChildProcess) => void): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    how(child)
    await gone
  }

  #listening(child: ChildProcess): Promise<void> {
    return new Promise((resolve, reject) => {
      let complaint = ''
      const fail = (why: string): void => {
        clearTimeout(timer)
        reject(new EspalierError('INVALID_STATE', `a node did not start: ${why}`))
      }
      const timer = setTimeout(() => {
        child.kill('SIGKILL')
        fail(`it was not ready after ${START_TIMEOUT_MS / 1000} seconds`)
      }, START_TIMEOUT_MS)
      child.stderr?.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2000)))
      child.stdin?.on('error', () => undefined)
      child.once('error', (error) => fail(error.message))
      child.once('exit', (code, signal) =>
        fail(`${signal ?? `exit code ${code ?? '?'}`} ${complaint.trim()}`),
      )
      if (child.stdout === null) return
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (this.#read(line)) {
          clearTimeout(timer)
          resolve()
        }
      })
    })
  }

  /** Takes one line of the node's output; true when it says that it listens. */
  #read(line: string): boolean {
    const fact: unknown = JSON.parse(line)
    if (typeof fact !== 'object' || fact === null || !('event' in fact)) return false
    if ('memoryPeakBytes' in fact && typeof fact.memoryPeakBytes === 'number') {
      this.memoryPeakBytes = Math.max(this.memoryPeakBytes, fact.memoryPeakBytes)
    }
    if (
      fact.event !== 'listening' ||
      !('id' in fact) ||
      !('addresses' in fact) ||
      !Array.isArray(fact.addresses)
    )
      return false
    this.#id = String(fact.id)
    this.#address = String(fact.addresses[0])
    this.#port = Number(this.#address.split(':').at(-1))
    return true
  }
}
