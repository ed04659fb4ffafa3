import { EspalierError } from '../base/error.ts'
import type { ByteStream } from '../net/transport.ts'
import { FRAME_LENGTH_BYTES, MAX_FRAME_BYTES } from './wire.ts'

/** Bytes handed to the network, or taken from it, at a time: what a stalled peer makes a stream hold. */
const PIECE_BYTES = 262_144

/** Frames and raw bytes over one stream, in both directions; every movement is reported. */
export class FrameStream {
  readonly #stream: ByteStream
  readonly #onMove: () => void
  readonly #buffer = new Uint8Array(4096)
  /** Made by the first use of {@link readPieces}: fresh memory for every piece costs more than the piece. */
  #piece: Uint8Array | undefined
  #start = 0
  #end = 0

  constructor(stream: ByteStream, onMove: () => void) {
    this.#stream = stream
    this.#onMove = onMove
  }

  /** The body of the next frame; nothing at an end between frames. Throws `PROTOCOL_VIOLATION`. */
  async readFrame(): Promise<Uint8Array | undefined> {
    if (this.#start === this.#end && !(await this.#refill())) return undefined
    const head = new Uint8Array(FRAME_LENGTH_BYTES)
    await this.readExactly(head)
    const length = ((head[0] ?? 0) << 8) | (head[1] ?? 0)
    if (length > MAX_FRAME_BYTES) {
      throw new EspalierError('PROTOCOL_VIOLATION', `a frame of ${length} bytes, at most ${MAX_FRAME_BYTES}`)
    }
    const body = new Uint8Array(length)
    await this.readExactly(body)
    return body
  }

  /** Fills `target`. Throws `PROTOCOL_VIOLATION` when the stream ends before. */
  async readExactly(target: Uint8Array): Promise<void> {
    const buffered = this.#takeBuffered(target)
    let filled = buffered
    while (filled < target.byteLength) {
      // Short reads go through the buffer, so that a frame does not cost two crossings of the boundary.
      if (target.byteLength - filled < this.#buffer.byteLength) {
        if (!(await this.#refill())) throw endedEarly()
        filled += this.#takeBuffered(target.subarray(filled))
        continue
      }
      const count = await this.#stream.readInto(target.subarray(filled))
      if (count === 0) throw endedEarly()
      this.#onMove()
      filled += count
    }
  }

  /** The next `sizeBytes` in pieces of bounded size; each is valid until the next is asked for. */
  async *readPieces(sizeBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
    const buffer = (this.#piece ??= new Uint8Array(PIECE_BYTES))
    for (let left = sizeBytes; left > 0;) {
      const piece = buffer.subarray(0, Math.min(left, PIECE_BYTES))
      await this.readExactly(piece)
      left -= piece.byteLength
      yield piece
    }
  }

  /** Resolves when the stream can take more. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) {
      await this.#stream.write(bytes.subarray(at, at + PIECE_BYTES))
      this.#onMove()
    }
  }

  closeWrite(): Promise<void> {
    return this.#stream.closeWrite()
  }

  reset(code: number): void {
    this.#stream.reset(code)
  }

  async #refill(): Promise<boolean> {
    this.#start = 0
    this.#end = 0
    this.#end = await this.#stream.readInto(this.#buffer)
    this.#onMove()
    return this.#end > 0
  }

  #takeBuffered(target: Uint8Array): number {
    const count = Math.min(target.byteLength, this.#end - this.#start)
    target.set(this.#buffer.subarray(this.#start, this.#start + count))
    this.#start += count
    return count
  }
}

function endedEarly(): EspalierError {
  return new EspalierError('PROTOCOL_VIOLATION', 'the stream ended in the middle of a message')
}
