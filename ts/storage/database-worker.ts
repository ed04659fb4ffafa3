/**
 * The thread that owns the database file. Calls are answered in the order in which they came; writes that
 * came together share one commit. There is no waiting for company: while one group is being synced, the
 * next one gathers in the port, so a lone write starts at once and a busy writer fills its groups by itself.
 */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads'
import { toEspalierError, type EspalierError } from '../base/error.ts'
import type { Answer, Failure, FromWorker, Request, Result, WorkerOptions } from './database-messages.ts'
import { loadUnderWatch } from '../native/gate.ts'
import { loadSqliteDriver } from './sqlite-driver.ts'
import { SqliteStore, type Mutation } from './sqlite-store.ts'

/** Most writes that share one commit: bounds how long the first of them waits. */
const MAX_GROUP = 64

class DatabaseWorker {
  readonly #port: MessagePort
  readonly #store: SqliteStore
  readonly #closedFlag: Int32Array
  /** Bounded by what the other thread lets be pending. */
  #queue: Request[] = []
  /** Answers not yet sent: bounded by the queue. One message carries many. */
  #outbox: Answer[] = []
  #isScheduled = false

  constructor(port: MessagePort, { store, options }: { store: SqliteStore; options: WorkerOptions }) {
    this.#port = port
    this.#store = store
    this.#closedFlag = new Int32Array(options.closedFlag)
    port.on('message', (requests: readonly Request[]) => this.#take(requests))
  }

  #take(requests: readonly Request[]): void {
    this.#queue.push(...requests)
    if (this.#isScheduled) return
    this.#isScheduled = true
    // The port delivers all that is waiting in it before this runs.
    setImmediate(() => this.#work())
  }

  #work(): void {
    this.#isScheduled = false
    const queue = this.#queue
    this.#queue = []
    for (let at = 0; at < queue.length;) at += this.#step(queue, at)
    this.#send()
  }

  /** Works off one query, one close or one group of writes from `at`; answers how many requests that were. */
  #step(queue: readonly Request[], at: number): number {
    const request = queue[at]
    if (request === undefined) return 1
    const { id, call } = request
    switch (call.kind) {
      case 'write':
      case 'takeExpired':
        return this.#commit(groupFrom(queue, at))
      case 'close':
        this.#close(id)
        return queue.length
      default:
        this.#outbox.push(this.#attempt(id, () => this.#store.query(call)))
        return 1
    }
  }

  #commit(group: readonly { readonly id: number; readonly call: Mutation }[]): number {
    const outcomes = this.#store.commit(group.map(({ call }) => call))
    group.forEach(({ id }, index) => {
      const outcome = outcomes[index]
      if (outcome === undefined) throw new Error('every mutation has an outcome')
      this.#outbox.push(
        'error' in outcome ? { id, failure: failureOf(outcome.error) } : { id, result: outcome.result },
      )
    })
    // What is on disk is acknowledged at once, not after the groups behind it.
    this.#send()
    return group.length
  }

  #close(id: number): void {
    const answer = this.#attempt(id, () => {
      this.#store.close()
      return undefined
    })
    Atomics.store(this.#closedFlag, 0, 1)
    Atomics.notify(this.#closedFlag, 0)
    this.#outbox.push(answer)
    this.#send()
    this.#port.close()
  }

  #attempt(id: number, action: () => Result): Answer {
    try {
      return { id, result: action() }
    } catch (thrown) {
      return { id, failure: failureOf(toEspalierError(thrown, 'STORAGE_CORRUPT', 'the database failed')) }
    }
  }

  #send(): void {
    if (this.#outbox.length === 0) return
    this.#port.postMessage({ kind: 'answers', answers: this.#outbox } satisfies FromWorker)
    this.#outbox = []
  }
}

/** The writes that stand together at the front of the queue. */
function groupFrom(
  queue: readonly Request[],
  at: number,
): { readonly id: number; readonly call: Mutation }[] {
  const group: { id: number; call: Mutation }[] = []
  for (const { id, call } of queue.slice(at, at + MAX_GROUP)) {
    if (call.kind !== 'write' && call.kind !== 'takeExpired') break
    group.push({ id, call })
  }
  return group
}

function failureOf({ code, message, details }: EspalierError): Failure {
  return { code, message, details }
}

function start(port: MessagePort, options: WorkerOptions): void {
  try {
    port.postMessage({ kind: 'loading' } satisfies FromWorker)
    loadUnderWatch(loadSqliteDriver)
    const store = new SqliteStore(options.path, { ballastBytes: options.ballastBytes })
    new DatabaseWorker(port, { store, options })
    port.postMessage({ kind: 'opened' } satisfies FromWorker)
  } catch (thrown) {
    const failure = failureOf(toEspalierError(thrown, 'INVALID_ARGUMENT', 'the database cannot be opened'))
    port.postMessage({ kind: 'refused', failure } satisfies FromWorker)
    port.close()
  }
}

if (parentPort !== null) start(parentPort, workerData as WorkerOptions)
