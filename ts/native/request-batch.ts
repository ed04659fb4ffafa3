const RECORD_BYTES = 24
/** Bytes in front of a request's body: 1, traffic class, protocol; docs/PROTOCOL.md. */
const HEADER_BYTES = 4
const KIND_REQUEST = 1
const KIND_ANSWER = 2
const KIND_CANCEL = 3
/** In the header of a request that may be answered more than once; docs/PROTOCOL.md. */
const HEADER_IDEMPOTENT = 3
const FIRST_BYTES = 65_536

/** A request as it is handed over. */
export interface BatchedRequest {
  readonly link: number
  readonly timeoutMs: number
  readonly maxResponseBytes: number
  readonly trafficClass: number
  readonly protocol: number
  readonly body: Uint8Array
  /** Whether it may be answered more than once, and so before the handshake is done. */
  readonly isIdempotent?: boolean
}

/** Collects what is asked for in one turn of the event loop, so that it crosses into native code at once. */
export class RequestBatch {
  #bytes = new Uint8Array(FIRST_BYTES)
  #view = new DataView(this.#bytes.buffer)
  #filled = 0

  get sizeBytes(): number {
    return this.#filled
  }

  request(operation: number, request: BatchedRequest): void {
    const { body } = request
    const at = this.#record(KIND_REQUEST, 0, HEADER_BYTES + body.byteLength)
    this.#view.setUint32(at + 4, operation, true)
    this.#view.setUint32(at + 8, request.link, true)
    this.#view.setUint32(at + 12, request.timeoutMs, true)
    this.#view.setUint32(at + 16, request.maxResponseBytes, true)
    this.#bytes[at + RECORD_BYTES] = request.isIdempotent === true ? HEADER_IDEMPOTENT : KIND_REQUEST
    this.#bytes[at + RECORD_BYTES + 1] = request.trafficClass
    this.#view.setUint16(at + RECORD_BYTES + 2, request.protocol, true)
    this.#bytes.set(body, at + RECORD_BYTES + HEADER_BYTES)
  }

  /** `payload` is the body, or with `refused` the code, a zero byte and the text of a refusal. */
  answer(request: number, payload: Uint8Array, { refused }: { readonly refused: boolean }): void {
    const at = this.#record(KIND_ANSWER, refused ? 1 : 0, payload.byteLength)
    this.#view.setUint32(at + 4, request, true)
    this.#bytes.set(payload, at + RECORD_BYTES)
  }

  cancel(operation: number): void {
    const at = this.#record(KIND_CANCEL, 0, 0)
    this.#view.setUint32(at + 4, operation, true)
  }

  /** What was collected, valid until the next call. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#filled)
    this.#filled = 0
    return taken
  }

  #record(kind: number, status: number, payloadBytes: number): number {
    const at = this.#filled
    this.#filled += RECORD_BYTES + payloadBytes
    if (this.#filled > this.#bytes.byteLength) this.#grow()
    this.#bytes.fill(0, at, at + RECORD_BYTES)
    this.#bytes[at] = kind
    this.#bytes[at + 1] = status
    this.#view.setUint32(at + 20, payloadBytes, true)
    return at
  }

  #grow(): void {
    const larger = new Uint8Array(2 ** Math.ceil(Math.log2(this.#filled)))
    larger.set(this.#bytes)
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
  }
}
