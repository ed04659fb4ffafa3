import { allowManyListeners } from '../base/abort.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { Address, PeerAddress } from '../net/address.ts'
import type { CallOptions, Connection } from '../net/transport.ts'

/** RFC 8305 §5. */
const STAGGER_MS = 250
/** How long one handshake may take. */
const HANDSHAKE_MS = 5_000
const DEFAULT_TIMEOUT_MS = 10_000

interface Waiter {
  readonly resolve: (connection: Connection) => void
  readonly reject: (error: EspalierError) => void
  readonly cleanUp: () => void
}

/** One dial, shared by everyone who waits for the same peer. */
export class SimDial {
  /** The id that must be proved; none accepts any. */
  readonly expected: NodeId | undefined
  readonly #clock: Clock
  readonly #addresses: readonly Address[]
  readonly #attempt: (address: Address) => void
  readonly #onDone: () => void
  /** Bounded by the callers that wait. */
  readonly #waiters = new Set<Waiter>()
  /** One for each address, and one for the end. */
  readonly #timers: Timer[] = []
  #mismatches = 0
  #isDone = false

  constructor(
    clock: Clock,
    peer: PeerAddress,
    hooks: { readonly attempt: (address: Address) => void; readonly done: () => void },
  ) {
    this.expected = peer.id
    this.#clock = clock
    this.#addresses = peer.addresses
    this.#attempt = hooks.attempt
    this.#onDone = hooks.done
  }

  get isDone(): boolean {
    return this.#isDone
  }

  /** Tries the addresses one after another, each with its own start, none waiting for the end of another. */
  start(delayMs: number): void {
    this.#addresses.forEach((address, index) => {
      this.#timers.push(
        this.#clock.setTimer(delayMs + index * STAGGER_MS, () => {
          if (!this.#isDone) this.#attempt(address)
        }),
      )
    })
    const lastMs = delayMs + (this.#addresses.length - 1) * STAGGER_MS + HANDSHAKE_MS
    this.#timers.push(this.#clock.setTimer(lastMs, () => this.fail(this.#failure())))
  }

  wait({ signal, timeoutMs = DEFAULT_TIMEOUT_MS }: CallOptions): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const leave = (error: EspalierError) => {
        waiter.cleanUp()
        this.#waiters.delete(waiter)
        reject(error)
        if (this.#waiters.size === 0) this.#finish()
      }
      const timer = this.#clock.setTimer(timeoutMs, () =>
        leave(new EspalierError('TIMEOUT', `no connection within ${timeoutMs} ms`)),
      )
      const onAbort = () =>
        leave(new EspalierError('ABORTED', 'the caller gave up', { cause: signal?.reason }))
      allowManyListeners(signal)
      signal?.addEventListener('abort', onAbort, { once: true })
      const cleanUp = () => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
      }
      const waiter: Waiter = { resolve, reject, cleanUp }
      this.#waiters.add(waiter)
    })
  }

  /** Another node than the expected one answered at one of the addresses. */
  mismatch(): void {
    this.#mismatches += 1
    if (this.#mismatches === this.#addresses.length) this.fail(this.#failure())
  }

  succeed(connection: Connection): void {
    this.#settle((waiter) => waiter.resolve(connection))
  }

  fail(error: EspalierError): void {
    this.#settle((waiter) => waiter.reject(error))
  }

  #settle(answer: (waiter: Waiter) => void): void {
    if (this.#isDone) return
    this.#finish()
    for (const waiter of this.#waiters) {
      waiter.cleanUp()
      answer(waiter)
    }
    this.#waiters.clear()
  }

  #finish(): void {
    if (this.#isDone) return
    this.#isDone = true
    for (const timer of this.#timers) timer.cancel()
    this.#onDone()
  }

  #failure(): EspalierError {
    return this.#mismatches > 0
      ? new EspalierError('PEER_MISMATCH', 'another node answered at the address of the peer')
      : new EspalierError('PEER_UNREACHABLE', 'no address of the peer answered')
  }
}
