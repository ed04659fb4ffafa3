import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { MAIN } from './dist.ts'

export type Fact = Readonly<Record<string, unknown>>

/** How a command ended, with all that it said. */
export interface LiveEnding {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly facts: readonly Fact[]
  readonly stderr: string
}

/** `espalier … --json` that runs while the test does things to it; its standard input stays open. */
export class LiveCommand {
  readonly ended: Promise<LiveEnding>
  readonly #child: ChildProcessWithoutNullStreams
  readonly #facts: Fact[] = []
  #stderr = ''
  #rest = ''

  constructor(words: readonly string[], options: { readonly timeoutMs?: number } = {}) {
    const child = spawn(process.execPath, [MAIN, ...words, '--json'], { stdio: 'pipe' })
    this.#child = child
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#take(text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    // What it no longer reads is no failure of the test.
    child.stdin.on('error', () => undefined)
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000)
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, signal) => {
        clearTimeout(timer)
        resolve({ code, signal, facts: this.#facts, stderr: this.#stderr })
      })
    })
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** The first fact of this name; rejects when the command ends without it. */
  async fact(event: string): Promise<Fact> {
    const find = (): Fact | undefined => this.#facts.find((fact) => fact['event'] === event)
    const gone = this.ended.then(({ code, stderr }) => {
      throw new Error(`it ended with ${code} before it said ${event}: ${stderr}`)
    })
    gone.catch(() => undefined)
    for (let found = find(); ; found = find()) {
      if (found !== undefined) return found
      await Promise.race([gone, new Promise((resolve) => this.#child.stdout.once('data', resolve))])
    }
  }

  /** Resolves when the command has taken all of it; what it takes waits for nobody but the command. */
  feed(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#child.stdin.write(bytes, () => resolve()))
  }

  endInput(): void {
    this.#child.stdin.end()
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) if (line.startsWith('{')) this.#facts.push(JSON.parse(line) as Fact)
  }
}
