import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The compiled storage, for programs that run in a process of their own. */
const DIST = new URL('../../dist/', import.meta.url)

/** What every program of these tests starts with. */
const PROLOGUE = `
import { openDatabase } from '${new URL('storage/database.js', DIST).href}'
import { ShardFiles } from '${new URL('storage/shard-files.js', DIST).href}'
import { DataDirectory } from '${new URL('storage/data-directory.js', DIST).href}'
import { hash } from '${new URL('native/hash.js', DIST).href}'
const [folder, ...rest] = process.argv.slice(1)
const clock = { nowMs: () => performance.now(), unixMs: () => Date.now(), setTimer: () => ({ cancel() {} }) }
const log = { debug() {}, info() {}, warn() {}, error() {} }
const say = (text) => process.stdout.write(text + '\\n')
const codeOf = (promise) => promise.then(() => 'done', (error) => error.code ?? String(error))
const text = (value) => new TextEncoder().encode(value)
`

/** A process that runs a program of the tests. */
export class Child {
  readonly process: ChildProcess
  /** Every whole line that it has said. */
  readonly lines: string[] = []
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  readonly #waiting = new Set<() => void>()

  /** Runs `program`, which sees `folder`, `rest`, `say`, `codeOf`, `text`, the storage and `hash`. */
  static run(program: string, args: readonly string[]): Child {
    return Child.runUnder([process.execPath], program, args)
  }

  /** As `run`, started through another command, for example a shell that sets a limit. */
  static runUnder(command: readonly string[], program: string, args: readonly string[]): Child {
    const [file = '', ...before] = command
    const words = [...before, '--input-type=module', '--eval', PROLOGUE + program, '--', ...args]
    return new Child(spawn(file, words, { cwd: fileURLToPath(DIST), stdio: ['ignore', 'pipe', 'inherit'] }))
  }

  private constructor(child: ChildProcess) {
    this.process = child
    const reader = createInterface({ input: child.stdout! })
    reader.on('line', (line) => {
      this.lines.push(line)
      for (const wake of this.#waiting) wake()
    })
    this.exited = Promise.all([once(child, 'exit'), once(reader, 'close')]).then(([[code, signal]]) => {
      for (const wake of this.#waiting) wake()
      return { code: code as number | null, signal: signal as NodeJS.Signals | null }
    })
  }

  /** Resolves once it has said that many lines, or has ended. */
  async said(count: number): Promise<void> {
    while (this.lines.length < count && this.process.exitCode === null && this.process.signalCode === null) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake)
          resolve()
        }
        this.#waiting.add(wake)
      })
    }
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.exited
  }
}
