import { Worker } from 'node:worker_threads'
import { EspalierError } from '../base/error.ts'
import { keepWatch } from '../native/gate.ts'
import { closedError } from './checks.ts'
import type { Answer, Call, Failure, FromWorker, Request, Result } from './database-messages.ts'

/** Most calls that may be under way; a caller that doesn't wait is told so before memory runs out. */
const MAX_PENDING = 16_384
/** How long a process that exits waits for the file to be closed. */
const EXIT_WAIT_MS = 2_000

interface Pending {
  resolve(result: Result): void
  reject(error: EspalierError): void
}

/** Databases open in this thread of JavaScript. Bounded by the caller, who opened each of them. */
const openThreads = new Set<DatabaseThread>()

/** The other end of the worker thread: numbers the calls and settles each exactly once, whatever becomes of the thread. */
export class DatabaseThread {
  readonly #worker: Worker
  readonly #closedFlag: Int32Array
  /** Bounded by {@link MAX_PENDING}. */
  readonly #pending = new Map<number, Pending>()
  /** Calls of this turn, sent in one message. Bounded by `#pending`. */
  #outbox: Request[] = []
  #nextId = 1
  #death: EspalierError | undefined
  readonly #exited: Promise<void>

  /** Resolves once the database is open; codes as in `openDatabase`. */
  static async start(options: {
    readonly path: string
    readonly ballastBytes: number
  }): Promise<DatabaseThread> {
    const closedFlag = new SharedArrayBuffer(4)
    // Without the flags of this process: loaders of test runners have no business in the worker.
    const worker = new Worker(workerUrl(), { workerData: { ...options, closedFlag }, execArgv: [] })
    const thread = new DatabaseThread(worker, { closedFlag })
    await thread.#opened()
    return thread
  }

  private constructor(worker: Worker, { closedFlag }: { readonly closedFlag: SharedArrayBuffer }) {
    this.#worker = worker
    this.#closedFlag = new Int32Array(closedFlag)
    worker.on('message', (message: FromWorker) => {
      if (message.kind === 'answers') for (const answer of message.answers) this.#settle(answer)
    })
    worker.on('error', (error) => {
      this.#death ??= closedError(error)
    })
    this.#exited = new Promise((resolve) => {
      worker.once('exit', () => {
        this.#die()
        resolve()
      })
    })
  }

  /** Calls that are not answered yet. */
  get pendingCalls(): number {
    return this.#pending.size
  }

  call(call: Call): Promise<Result> {
    if (this.#death !== undefined) return Promise.reject(this.#death)
    if (this.#pending.size >= MAX_PENDING) {
      const message = `${MAX_PENDING} calls of the database are under way`
      return Promise.reject(new EspalierError('LIMIT_EXCEEDED', message))
    }
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      if (this.#pending.size === 0) this.#worker.ref()
      this.#pending.set(id, { resolve, reject })
      if (this.#outbox.length === 0) queueMicrotask(() => this.#send())
      this.#outbox.push({ id, call })
    })
  }

  /** Finishes what is pending, closes the file and ends the thread. Never rejects. */
  async stop(): Promise<void> {
    // A database that was closed before its thread ends: better-sqlite3 12 can crash in a thread that is torn down.
    await this.call({ kind: 'close' }).catch(() => undefined)
    this.#worker.ref()
    await this.#exited
  }

  /** Closes the file while the process exits, when no promise runs any more. */
  closeNow(): void {
    this.#outbox.push({ id: this.#nextId++, call: { kind: 'close' } })
    this.#send()
    Atomics.wait(this.#closedFlag, 0, 0, EXIT_WAIT_MS)
  }

  async #opened(): Promise<void> {
    let message = await this.#nextWord()
    if (message?.kind === 'loading') {
      keepWatch(this.#worker)
      message = await this.#nextWord()
    }
    if (message?.kind === 'opened') {
      this.#worker.unref()
      openThreads.add(this)
      if (openThreads.size === 1) process.on('exit', closeAll)
      return
    }
    await this.#exited
    if (message?.kind === 'refused') throw errorFrom(message.failure)
    throw new EspalierError('NATIVE_UNAVAILABLE', 'the database thread did not start', {
      cause: this.#death?.cause,
    })
  }

  /** The next message, or nothing when the thread ends before it. */
  #nextWord(): Promise<FromWorker | undefined> {
    return new Promise((resolve) => {
      this.#worker.once('message', (message: FromWorker) => resolve(message))
      this.#worker.once('exit', () => resolve(undefined))
    })
  }

  #send(): void {
    if (this.#outbox.length === 0) return
    this.#worker.postMessage(this.#outbox)
    this.#outbox = []
  }

  #settle(answer: Answer): void {
    const pending = this.#pending.get(answer.id)
    this.#pending.delete(answer.id)
    if (this.#pending.size === 0) this.#worker.unref()
    if ('failure' in answer) pending?.reject(errorFrom(answer.failure))
    else pending?.resolve(answer.result)
  }

  #die(): void {
    this.#death ??= closedError()
    for (const pending of this.#pending.values()) pending.reject(this.#death)
    this.#pending.clear()
    openThreads.delete(this)
    if (openThreads.size === 0) process.off('exit', closeAll)
  }
}

function closeAll(): void {
  for (const thread of openThreads) thread.closeNow()
}

function errorFrom({ code, message, details }: Failure): EspalierError {
  return new EspalierError(code, message, { details })
}

/**
 * The worker as JavaScript. Threads of Node 20 can't run TypeScript: where this file runs as source, which is
 * in the tests, the worker is the compiled one, so `npm run build:ts` comes before them.
 */
function workerUrl(): URL {
  return import.meta.url.endsWith('.ts')
    ? new URL('../../dist/storage/database-worker.js', import.meta.url)
    : new URL('./database-worker.js', import.meta.url)
}
