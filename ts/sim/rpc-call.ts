import { EspalierError } from '../base/error.ts'
import type { Address } from '../net/address.ts'
import type { MessageType } from '../net/message.ts'
import type { CallOptions } from '../net/transport.ts'
import { Attempt, type Outcome } from './rpc-attempt.ts'
import type { Card, Fabric } from './rpc-fabric.ts'

export type { Ending } from './rpc-attempt.ts'

/** How long one handshake may take. */
const HANDSHAKE_MS = 5_000
/** RFC 9002 §6.2.1: a probe time-out is a round trip and the longest delay of an acknowledgement, … */
const MAX_ACK_DELAY_MS = 25
/** … doubled with each one in a row, here so often at most. */
const MAX_DOUBLINGS = 6

/** One request with its answer, over however many packets it takes. */
export class SimCall<Request, Response> extends Attempt<Response> {
  readonly #from: Card
  /** Nothing when nobody lives at any address that the caller has. */
  readonly #to: Card | undefined
  readonly #addresses: readonly Address[]
  readonly #type: MessageType<Request, Response>
  readonly #message: Message<Request>
  #isDialling = false
  #givenUp: AbortController | undefined

  constructor(
    deps: {
      readonly network: Fabric
      readonly from: Card
      readonly to: Card | undefined
      /** Where the caller believes that it is. */
      readonly addresses: readonly Address[]
      readonly type: MessageType<Request, Response>
    },
    request: Request,
    outcome: Outcome<Response>,
  ) {
    super(deps.network, outcome)
    this.#from = deps.from
    this.#to = deps.to
    this.#addresses = deps.addresses
    this.#type = deps.type
    this.#message =
      deps.network.wire === 'values' ? { value: request } : { bytes: encoded(deps.type, request) }
  }

  start(options: CallOptions, defaultTimeoutMs: number): void {
    const { timeoutMs = defaultTimeoutMs } = options
    this.watch(options, defaultTimeoutMs)
    const to = this.#to
    if (to !== undefined && this.#from.isLinkedTo(to)) {
      this.#travel([this.#from, to], () => this.#arrive(to))
      return
    }
    this.#isDialling = true
    if (timeoutMs > HANDSHAKE_MS) this.network.world.schedule(HANDSHAKE_MS, () => this.#endDial())
    if (to === undefined) {
      this.#dialStranger()
      return
    }
    // The handshake takes one round trip; the request follows with the end of it.
    this.#travel([this.#from, to], () => {
      if (!to.isUp) return
      this.#travel([to, this.#from], () => {
        this.#isDialling = false
        this.#from.link(to, true)
        this.#travel([this.#from, to], () => {
          to.link(this.#from, false)
          this.#arrive(to)
        })
      })
    })
  }

  override expire(): void {
    if (this.#isDialling && this.#to !== undefined) this.#from.rest(this.#to.localId)
    super.expire()
  }

  override fail(error: EspalierError): void {
    this.#givenUp?.abort(error)
    super.fail(error)
  }

  /** Somebody else may live at the address: the handshake tells. */
  #dialStranger(): void {
    for (const address of this.#addresses) {
      const stranger = this.network.nodeAt(address)
      if (stranger === undefined) continue
      this.#travel([this.#from, stranger], () => {
        if (!stranger.isUp) return
        this.#travel([stranger, this.#from], () =>
          this.fail(new EspalierError('PEER_MISMATCH', 'another node answered at the address of the peer')),
        )
      })
    }
  }

  #endDial(): void {
    if (this.isOver || !this.#isDialling) return
    if (this.#to !== undefined) this.#from.rest(this.#to.localId)
    this.fail(new EspalierError('PEER_UNREACHABLE', 'no address of the peer answered'))
  }

  /** One packet, sent again and again as long as somebody waits for what it brings. */
  #travel(ends: readonly [Card, Card], deliver: () => void, doublings = 0): void {
    const { world } = this.network
    const ms = this.network.transitMs(...ends)
    if (ms !== undefined) {
      world.schedule(ms, () => {
        if (!this.isOver) deliver()
      })
      return
    }
    const probeMs = (2 * this.network.latencyMs(...ends) + MAX_ACK_DELAY_MS) * 2 ** doublings
    world.schedule(probeMs, () => {
      if (!this.isOver) this.#travel(ends, deliver, Math.min(doublings + 1, MAX_DOUBLINGS))
    })
  }

  #arrive(to: Card): void {
    if (!to.isUp) return
    if (!to.isLinkedTo(this.#from)) {
      // It has started anew and answers packets of the old connection with a stateless reset, RFC 9000 §10.3.
      this.#travel([to, this.#from], () => {
        this.#from.unlink(to)
        this.fail(new EspalierError('CONNECTION_LOST', 'the peer knows of no connection'))
      })
      return
    }
    this.network.countArrival(this.#type.name)
    this.network.world.recordNumbers(this.#from.index, to.index, this.#type.protocol)
    try {
      const outcome = to.serve(this.#type, this.#read(), this.#caller())
      if (outcome instanceof Promise) {
        outcome.then(
          (response: Response) => this.#answer(to, response),
          (error: unknown) => this.#refuse(to, error),
        )
      } else {
        this.#answer(to, outcome)
      }
    } catch (error) {
      this.#refuse(to, error)
    }
  }

  #read(): Request {
    const message = this.#message
    if ('value' in message) return message.value
    return decoding(`${this.#type.name} request`, () => this.#type.decodeRequest(message.bytes))
  }

  /** Its signal is made only for a handler that looks at it. */
  #caller() {
    const signalOf = (): AbortSignal => {
      this.#givenUp ??= new AbortController()
      return this.#givenUp.signal
    }
    return {
      id: this.#from.localId,
      remote: this.#from.address,
      get signal(): AbortSignal {
        return signalOf()
      },
    }
  }

  #answer(to: Card, response: Response): void {
    if (this.isOver || !to.isUp) return
    if (this.network.wire === 'values') {
      this.#bring(to, () => this.succeed(response))
      return
    }
    const { name, maxResponseBytes } = this.#type
    const bytes = this.#type.encodeResponse(response)
    if (bytes.byteLength > maxResponseBytes) {
      this.#refuse(to, new Error(`${name}: an answer of ${bytes.byteLength} bytes`))
      return
    }
    this.#bring(to, () => {
      try {
        this.succeed(decoding(`${name} answer`, () => this.#type.decodeResponse(bytes)))
      } catch (error) {
        if (error instanceof EspalierError) this.fail(error)
      }
    })
  }

  #refuse(to: Card, error: unknown): void {
    if (this.isOver || !to.isUp) return
    const told =
      error instanceof EspalierError
        ? new EspalierError(error.code, `the peer answered: ${error.message}`, {
            details: error.details,
          })
        : new EspalierError('PEER_REFUSED', 'the peer answered: the request could not be served')
    this.#bring(to, () => this.fail(told))
  }

  #bring(to: Card, deliver: () => void): void {
    this.#travel([to, this.#from], () => {
      this.network.world.recordNumbers(to.index, this.#from.index, -this.#type.protocol)
      deliver()
    })
  }
}

type Message<Request> = { readonly value: Request } | { readonly bytes: Uint8Array }

function encoded<Request>(type: MessageType<Request, unknown>, request: Request): Uint8Array {
  const bytes = type.encodeRequest(request)
  if (bytes.byteLength <= type.maxRequestBytes) return bytes
  const message = `${type.name} has at most ${type.maxRequestBytes} bytes, not ${bytes.byteLength}`
  throw new EspalierError('LIMIT_EXCEEDED', message)
}

/** A decoder's failure is the sender's fault, whatever it threw. */
function decoding<T>(what: string, decode: () => T): T {
  try {
    return decode()
  } catch (error) {
    if (error instanceof EspalierError && error.code === 'PROTOCOL_VIOLATION') throw error
    throw new EspalierError('PROTOCOL_VIOLATION', `${what} does not decode`, { cause: error })
  }
}
