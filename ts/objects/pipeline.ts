import type { Clock } from '../base/clock.ts'
import { EspalierError, toEspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import type { StreamType } from '../net/message.ts'
import type { RpcPort } from '../net/rpc-port.ts'
import type { ByteStream } from '../net/transport.ts'
import { FrameStream } from './frame-stream.ts'
import { Watchdog } from './watchdog.ts'
import { RESET } from './wire.ts'

/** One question and its answer on a stream. Answers come in the order of the questions. */
export interface Exchange<Answer> {
  send(stream: FrameStream): Promise<void>
  /** A {@link Refusal} ends this exchange only; any other error ends the stream. */
  receive(stream: FrameStream): Promise<Answer>
}

/** The peer said no in so many words: it is alive and the stream is in step. */
export class Refusal extends EspalierError {}

/** What a pipeline needs of the outside, and its patience. */
export interface PipelineOptions {
  readonly rpc: RpcPort
  readonly clock: Clock
  readonly peer: NodeId
  readonly type: StreamType
  /** Makes the peer's addresses known when they are not. */
  readonly locate: (id: NodeId, options: { readonly timeoutMs: number }) => Promise<void>
  /** For finding, dialling and opening together. */
  readonly dialTimeoutMs: number
  /** Without a byte moving while answers are due. */
  readonly stallTimeoutMs: number
}

interface Item {
  isSent: boolean
  readonly send: (stream: FrameStream) => Promise<void>
  /** Throws when the stream is of no use any more. */
  readonly receive: (stream: FrameStream) => Promise<void>
  readonly reject: (error: EspalierError) => void
}

/** A stream on which nothing is asked for this long is given back; the next question opens another. */
const IDLE_MS = 20_000

/**
 * Many exchanges with one peer over one stream, so that setting it up is paid once. A stream that breaks is
 * opened once more and what was unanswered is sent again; a second break without an answer between is final.
 */
export class Pipeline {
  readonly #options: PipelineOptions
  /** Unanswered, oldest first. Bounded by its user: shards of the segments in flight. */
  readonly #items: Item[] = []
  #session: Session | undefined
  #mayReopen = true
  #failure: EspalierError | undefined

  constructor(options: PipelineOptions) {
    this.#options = options
  }

  /** Why it takes no more questions. */
  get failure(): EspalierError | undefined {
    return this.#failure
  }

  /** Opens the stream ahead of need; a failure is final. */
  async open(): Promise<void> {
    // Twice at most: the second failure of one pipeline is final.
    for (let isOpen = false; !isOpen;) {
      this.#throwIfFailed()
      const session = (this.#session ??= this.#start())
      isOpen = await session.opened
    }
    this.#throwIfFailed()
  }

  /** Codes: those of opening and of the stream, the peer's refusal as {@link Refusal}, `TIMEOUT`. */
  run<Answer>(exchange: Exchange<Answer>): Promise<Answer> {
    this.#throwIfFailed()
    return new Promise((resolve, reject) => {
      this.#items.push({
        isSent: false,
        send: (stream) => exchange.send(stream),
        receive: (stream) =>
          exchange.receive(stream).then(resolve, (error: unknown) => {
            if (!(error instanceof Refusal)) throw error
            reject(error)
          }),
        reject,
      })
      this.#session ??= this.#start()
      this.#session.wake()
    })
  }

  /** Abandons everything unanswered with `error`. Idempotent. */
  fail(error: EspalierError): void {
    this.#failure ??= error
    this.#session?.end(RESET.done)
    this.#session = undefined
    for (const item of this.#items.splice(0)) item.reject(this.#failure)
  }

  #start(): Session {
    for (const item of this.#items) item.isSent = false
    const session: Session = new Session(this.#options, this.#items, {
      onAnswer: () => (this.#mayReopen = true),
      onIdle: () => {
        if (this.#session === session) this.#session = undefined
      },
      onBroken: (error) => {
        if (this.#session !== session) return
        this.#session = undefined
        if (!this.#mayReopen || !isWorthRetrying(error)) {
          this.fail(error)
          return
        }
        this.#mayReopen = false
        if (this.#items.length > 0) {
          this.#session = this.#start()
          this.#session.wake()
        }
      },
    })
    return session
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure
  }
}

interface SessionEvents {
  onAnswer(): void
  onIdle(): void
  onBroken(error: EspalierError): void
}

/** One stream of a pipeline, from its opening to its end. */
class Session {
  /** Whether the stream could be opened; never rejects. */
  readonly opened: Promise<boolean>
  readonly #options: PipelineOptions
  readonly #items: Item[]
  readonly #events: SessionEvents
  #raw: ByteStream | undefined
  #stream: FrameStream | undefined
  #watchdog: Watchdog | undefined
  #isEnded = false
  #isSending = false
  #isReceiving = false

  constructor(options: PipelineOptions, items: Item[], events: SessionEvents) {
    this.#options = options
    this.#items = items
    this.#events = events
    this.opened = this.#open()
  }

  /** There is something to send. */
  wake(): void {
    if (this.#stream === undefined || this.#isEnded) return
    this.#watch(this.#options.stallTimeoutMs)
    if (!this.#isSending) void this.#send(this.#stream)
    if (!this.#isReceiving) void this.#receive(this.#stream)
  }

  end(code: number): void {
    this.#isEnded = true
    this.#watchdog?.stop()
    this.#raw?.reset(code)
  }

  async #open(): Promise<boolean> {
    try {
      const raw = await withDeadline(this.#openStream(), this.#options)
      if (this.#isEnded) {
        raw.reset(RESET.done)
        return false
      }
      this.#raw = raw
      this.#stream = new FrameStream(raw, () => this.#watchdog?.touch())
      this.#watch(IDLE_MS)
      if (this.#items.length > 0) this.wake()
      return true
    } catch (error) {
      this.#break(toEspalierError(error, 'PEER_UNREACHABLE', 'the holder cannot be reached'))
      return false
    }
  }

  async #openStream(): Promise<ByteStream> {
    const { rpc, peer, type, dialTimeoutMs: timeoutMs } = this.#options
    if (rpc.addressesOf(peer).length === 0) await this.#options.locate(peer, { timeoutMs })
    return rpc.openStream(peer, type, { timeoutMs })
  }

  async #send(stream: FrameStream): Promise<void> {
    this.#isSending = true
    try {
      for (let item = this.#unsent(); item !== undefined && !this.#isEnded; item = this.#unsent()) {
        item.isSent = true
        await item.send(stream)
      }
    } catch (error) {
      this.#break(toEspalierError(error, 'CONNECTION_LOST', 'writing to the holder'))
    }
    this.#isSending = false
  }

  async #receive(stream: FrameStream): Promise<void> {
    this.#isReceiving = true
    try {
      for (let item = this.#items[0]; item !== undefined && !this.#isEnded; item = this.#items[0]) {
        await item.receive(stream)
        if (this.#hasEnded()) break
        this.#items.shift()
        this.#events.onAnswer()
      }
      if (!this.#hasEnded()) this.#watch(IDLE_MS)
    } catch (error) {
      this.#break(toEspalierError(error, 'CONNECTION_LOST', 'reading from the holder'))
    }
    this.#isReceiving = false
  }

  #unsent(): Item | undefined {
    return this.#items.find((item) => !item.isSent)
  }

  // A method, so that the compiler does not take the flag for constant across an await.
  #hasEnded(): boolean {
    return this.#isEnded
  }

  #watch(limitMs: number): void {
    this.#watchdog?.stop()
    const onStalled = (): void => {
      if (this.#items.length > 0) {
        this.#break(new EspalierError('TIMEOUT', 'the holder has stalled'))
        return
      }
      this.end(RESET.done)
      this.#events.onIdle()
    }
    this.#watchdog = new Watchdog(this.#options.clock, { limitMs, onStalled })
  }

  #break(error: EspalierError): void {
    if (this.#isEnded) return
    this.end(error.code === 'PROTOCOL_VIOLATION' ? RESET.violation : RESET.done)
    this.#events.onBroken(error)
  }
}

/**
 * A peer that stalls, cannot be reached or breaks the protocol would do so again. A connection may end under a
 * stream that is being opened, for example when both sides have dialled and one of the two is given up.
 */
function isWorthRetrying(error: EspalierError): boolean {
  return ['CONNECTION_LOST', 'STREAM_RESET', 'CLOSED', 'ABORTED'].includes(error.code)
}

/** The transport keeps the same deadline; this one holds also while addresses are looked up. */
function withDeadline(
  opening: Promise<ByteStream>,
  { clock, dialTimeoutMs }: PipelineOptions,
): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer = clock.setTimer(dialTimeoutMs, () => {
      isLate = true
      reject(new EspalierError('TIMEOUT', 'the holder did not answer in time'))
    })
    opening.then(
      (stream) => {
        timer.cancel()
        if (isLate) stream.reset(RESET.done)
        else resolve(stream)
      },
      (error: unknown) => {
        timer.cancel()
        reject(toEspalierError(error, 'PEER_UNREACHABLE', 'the holder cannot be reached'))
      },
    )
  })
}
