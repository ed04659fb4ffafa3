import { decodeUtf8, encodeUtf8 } from './bytes.ts'
import { EspalierError } from './error.ts'

// Deterministic CBOR, RFC 8949 §4.2: shortest integers, definite lengths, sorted map keys, one
// encoding for each value. Only the types below exist on the wire; tags and floats are refused.
const UINT = 0
const NEGATIVE = 1
const BYTES = 2
const TEXT = 3
const ARRAY = 4
const MAP = 5
const FALSE = 0xf4
const TRUE = 0xf5
const NULL = 0xf6

/** Deepest nesting that a reader follows inside an extension map, the map itself counted. */
export const MAX_DEPTH = 16

const START_CAPACITY = 256

/** In a `u` pattern a proper pair is one character of another category. */
const LONE_SURROGATE = /\p{Surrogate}/u

/** Writes one value after the other into a growing buffer. The order of calls is the encoding. */
export class CborWriter {
  #buffer = new Uint8Array(START_CAPACITY)
  #length = 0

  /** The head of an array; the caller writes exactly `length` items after it. */
  array(length: number): this {
    return this.#head(ARRAY, length)
  }

  /** 0 to 2⁶⁴ − 1; numbers to `MAX_SAFE_INTEGER`. Throws `INVALID_ARGUMENT`. */
  uint(value: number | bigint): this {
    return this.#head(UINT, value)
  }

  bytes(value: Uint8Array): this {
    this.#head(BYTES, value.byteLength)
    return this.#append(value)
  }

  /** Throws `INVALID_ARGUMENT` for a lone surrogate, which has no UTF-8. */
  text(value: string): this {
    if (LONE_SURROGATE.test(value)) {
      throw new EspalierError('INVALID_ARGUMENT', 'text with a lone surrogate cannot be encoded')
    }
    const encoded = encodeUtf8(value)
    this.#head(TEXT, encoded.byteLength)
    return this.#append(encoded)
  }

  bool(value: boolean): this {
    return this.#byte(value ? TRUE : FALSE)
  }

  /** Null: the value is absent. */
  none(): this {
    return this.#byte(NULL)
  }

  /** The empty map that ends every message; later versions add to it without breaking older readers. */
  extensions(): this {
    return this.#head(MAP, 0)
  }

  /** Exactly the bytes written so far, as a copy of their own. */
  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#length)
  }

  #head(major: number, value: number | bigint): this {
    const valid =
      typeof value === 'bigint' ? value >= 0n && value < 1n << 64n : Number.isSafeInteger(value) && value >= 0
    if (!valid) throw new EspalierError('INVALID_ARGUMENT', `not an unsigned integer: ${String(value)}`)
    this.#reserve(9)
    const initial = major << 5
    if (value < 24) this.#put(initial | Number(value), 1)
    else if (value < 0x100) this.#put(initial | 24, 1).#put(Number(value), 1)
    else if (value < 0x1_0000) this.#put(initial | 25, 1).#put(Number(value), 2)
    else if (value < 0x1_0000_0000) this.#put(initial | 26, 1).#put(Number(value), 4)
    else {
      const wide = BigInt(value)
      this.#put(initial | 27, 1)
      this.#put(Number(wide >> 32n), 4).#put(Number(wide & 0xffff_ffffn), 4)
    }
    return this
  }

  /** Big-endian, into room that was reserved before. */
  #put(value: number, width: number): this {
    for (let shift = 8 * (width - 1); shift >= 0; shift -= 8) {
      this.#buffer[this.#length++] = (value >>> shift) & 0xff
    }
    return this
  }

  #byte(value: number): this {
    this.#reserve(1)
    this.#buffer[this.#length++] = value
    return this
  }

  #append(value: Uint8Array): this {
    this.#reserve(value.byteLength)
    this.#buffer.set(value, this.#length)
    this.#length += value.byteLength
    return this
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#buffer.byteLength) return
    const grown = new Uint8Array(Math.max(needed, this.#buffer.byteLength * 2))
    grown.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = grown
  }
}

/**
 * Reads hostile bytes. Every method throws `PROTOCOL_VIOLATION` unless the next item is canonical,
 * of the wanted type, inside its bound and wholly inside the input; nothing is allocated before that.
 */
export class CborReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  #at = 0

  /** `bytes` are read in place and must not change meanwhile. `what` names the message in errors. */
  constructor(bytes: Uint8Array, options: { readonly maxBytes: number; readonly what: string }) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = options.what
    if (bytes.byteLength > options.maxBytes) {
      throw this.#refuse(`${bytes.byteLength} bytes where ${options.maxBytes} are allowed`)
    }
  }

  /** An array of exactly `length` items. */
  array(length: number): void {
    this.arrayUpTo(length, length)
  }

  /** An array of `min` (default 0) to `max` items; answers the count. */
  arrayUpTo(max: number, min = 0): number {
    return this.#length(ARRAY, { min, max })
  }

  /** 0 to `max`, default `MAX_SAFE_INTEGER`. */
  uint(max = Number.MAX_SAFE_INTEGER): number {
    return this.#bounded(this.#head(UINT), { min: 0, max })
  }

  /** A byte string of exactly `exact` bytes, as a copy. */
  bytes(exact: number): Uint8Array {
    return this.bytesUpTo(exact, exact)
  }

  /** A byte string of `min` (default 0) to `max` bytes, as a copy. */
  bytesUpTo(max: number, min = 0): Uint8Array {
    // Not `slice` on a Buffer, which would share its memory.
    return new Uint8Array(this.#take(this.#length(BYTES, { min, max })))
  }

  /** Well-formed UTF-8 of at most `maxBytes` bytes. */
  text(maxBytes: number): string {
    const start = this.#at
    const text = decodeUtf8(this.#take(this.#length(TEXT, { min: 0, max: maxBytes })))
    if (text === undefined) throw this.#refuse('text that is not UTF-8', start)
    return text
  }

  bool(): boolean {
    const byte = this.#bytes[this.#at]
    if (byte !== TRUE && byte !== FALSE) throw this.#refuse('no boolean')
    this.#at += 1
    return byte === TRUE
  }

  /** Whether null is next; if so it is consumed. */
  none(): boolean {
    if (this.#bytes[this.#at] !== NULL) return false
    this.#at += 1
    return true
  }

  /** Skips one well-formed canonical map, whatever a later version put into it. */
  extensions(): void {
    const start = this.#at
    if ((this.#initial() & 0xe0) >> 5 !== MAP) throw this.#refuse('no extension map', start)
    this.#skip(1)
  }

  /** Refuses trailing bytes. */
  end(): void {
    if (this.#at !== this.#bytes.byteLength) {
      throw this.#refuse(`${this.#bytes.byteLength - this.#at} trailing bytes`)
    }
  }

  #skip(depth: number): void {
    const start = this.#at
    if (depth > MAX_DEPTH) throw this.#refuse(`deeper than ${MAX_DEPTH}`)
    const initial = this.#initial()
    if (initial === FALSE || initial === TRUE || initial === NULL) {
      this.#at += 1
      return
    }
    const major = initial >> 5
    if (major > MAP) throw this.#refuse('a tag, a float or an unknown simple value', start)
    const value = this.#head(major)
    if (major === UINT || major === NEGATIVE) return
    const count = this.#bounded(value, { min: 0, max: this.#bytes.byteLength }, start)
    this.#checkRoom(major === MAP ? count * 2 : count, start)
    if (major === ARRAY) for (let item = 0; item < count; item += 1) this.#skip(depth + 1)
    else if (major === MAP) this.#skipEntries(count, depth)
    else this.#skipString(major, count)
  }

  #skipString(major: number, length: number): void {
    const start = this.#at
    const content = this.#take(length)
    if (major === TEXT && decodeUtf8(content) === undefined)
      throw this.#refuse('text that is not UTF-8', start)
  }

  /** RFC 8949 §4.2.1: keys ascend by the bytes of their encoding, so none is there twice. */
  #skipEntries(count: number, depth: number): void {
    let previous: Uint8Array | undefined
    for (let entry = 0; entry < count; entry += 1) {
      const start = this.#at
      this.#skip(depth + 1)
      const key = this.#bytes.subarray(start, this.#at)
      if (previous !== undefined && Buffer.compare(previous, key) >= 0) {
        throw this.#refuse('map keys out of order', start)
      }
      previous = key
      this.#skip(depth + 1)
    }
  }

  #length(major: number, bounds: { readonly min: number; readonly max: number }): number {
    const start = this.#at
    const length = this.#bounded(this.#head(major), bounds, start)
    this.#checkRoom(length, start)
    return length
  }

  /** Each item takes a byte or more: a count beyond the rest of the input is a lie. */
  #checkRoom(count: number, start: number): void {
    if (count > this.#bytes.byteLength - this.#at) throw this.#refuse('a length beyond the input', start)
  }

  #bounded(
    value: number | bigint,
    bounds: { readonly min: number; readonly max: number },
    start = this.#at,
  ): number {
    if (value < bounds.min || value > bounds.max) {
      throw this.#refuse(`${String(value)} where ${bounds.min} to ${bounds.max} is allowed`, start)
    }
    return Number(value)
  }

  #head(major: number): number | bigint {
    const start = this.#at
    const initial = this.#initial()
    if (initial >> 5 !== major) throw this.#refuse(`major type ${initial >> 5} instead of ${major}`, start)
    const additional = initial & 31
    this.#at += 1
    if (additional < 24) return additional
    // 28 to 30 are reserved, 31 is an indefinite length.
    if (additional > 27) throw this.#refuse('an indefinite or reserved length', start)
    const width = 1 << (additional - 24)
    if (this.#at + width > this.#bytes.byteLength) throw this.#refuse('the input ends early', start)
    const value = this.#fixed(width)
    if (value < (SMALLEST[additional - 24] ?? 0)) {
      throw this.#refuse('an integer that is not in its shortest form', start)
    }
    return value
  }

  #fixed(width: number): number | bigint {
    const at = this.#at
    this.#at += width
    if (width === 1) return this.#view.getUint8(at)
    if (width === 2) return this.#view.getUint16(at)
    if (width === 4) return this.#view.getUint32(at)
    return this.#view.getBigUint64(at)
  }

  #initial(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) throw this.#refuse('the input ends early')
    return byte
  }

  #take(length: number): Uint8Array {
    const start = this.#at
    this.#checkRoom(length, start)
    this.#at += length
    return this.#bytes.subarray(start, this.#at)
  }

  #refuse(reason: string, at = this.#at): EspalierError {
    return new EspalierError('PROTOCOL_VIOLATION', `${this.#what} at byte ${at}: ${reason}`)
  }
}

/** The smallest value that needs one, two, four or eight bytes. */
const SMALLEST: readonly number[] = [24, 0x100, 0x1_0000, 0x1_0000_0000]
