// A contestant's process, seen from outside: commands go in and measurements come out, one JSON line each.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const START_TIMEOUT_MS = 120_000
const ANSWER_TIMEOUT_MS = 180_000
const END_TIMEOUT_MS = 10_000

export class Program {
  #child
  /** Reads that wait for a line. Bounded by one: `ask` is called by one caller at a time. */
  #waiting = []
  /** Lines that nobody asked for yet. Bounded by what the program says without a question: its greeting. */
  #lines = []
  #complaint = ''
  #ended

  constructor(command, args, { env = {} } = {}) {
    this.#child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child.stderr.on('data', (chunk) => (this.#complaint = (this.#complaint + chunk).slice(-4000)))
    this.#child.stdin.on('error', () => undefined)
    this.#child.on('error', (error) => this.#end(error.message))
    // `close` comes after the last output was read, so that the reason of an early end is known.
    this.#child.on('close', (code, signal) => this.#end(this.#lastWords(code, signal)))
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(line))
  }

  /** Starts a program that greets with one line, and waits for it. Answers `[program, greeting]`. */
  static async greeted(command, args, options) {
    const program = new Program(command, args, options)
    try {
      return [program, await program.#read(START_TIMEOUT_MS)]
    } catch (error) {
      await program.close()
      throw error
    }
  }

  get alive() {
    return this.#ended === undefined
  }

  get pid() {
    return this.#child.pid
  }

  /** Sends one command and waits for its answer. Throws the reason when there is none. */
  async ask(command) {
    if (this.#ended !== undefined) throw new Error(this.#ended)
    this.#child.stdin.write(`${JSON.stringify(command)}\n`)
    return this.#read(ANSWER_TIMEOUT_MS + 3000 * (command.seconds ?? 0))
  }

  /** Ends the program by ending its standard input; by force after ten seconds. */
  async close() {
    if (this.#ended !== undefined) return
    const gone = new Promise((resolve) => this.#child.once('close', resolve))
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS)
    this.#child.stdin.end()
    await gone
    clearTimeout(timer)
  }

  async #read(timeoutMs) {
    const line = this.#lines.shift() ?? (await this.#nextLine(timeoutMs))
    const answer = JSON.parse(line)
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer
  }

  #nextLine(timeoutMs) {
    if (this.#ended !== undefined) return Promise.reject(new Error(this.#ended))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#child.kill('SIGKILL')
        reject(new Error(`no answer within ${timeoutMs / 1000} s`))
      }, timeoutMs)
      const settle = (how) => (value) => {
        clearTimeout(timer)
        how(value)
      }
      this.#waiting.push({ resolve: settle(resolve), reject: settle(reject) })
    })
  }

  #take(line) {
    // Some libraries write to standard output themselves.
    if (!line.startsWith('{')) return
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#lines.push(line)
    else waiting.resolve(line)
  }

  #end(reason) {
    this.#ended ??= reason
    for (const waiting of this.#waiting.splice(0)) waiting.reject(new Error(this.#ended))
  }

  #lastWords(code, signal) {
    const lines = this.#complaint.split('\n').map((line) => line.trim())
    const telling = lines.find((line) => /error/i.test(line)) ?? lines.filter(Boolean).at(-1) ?? ''
    return `${signal === null ? `it ended with exit code ${code}` : `it died by ${signal}`} ${telling}`.trim()
  }
}
