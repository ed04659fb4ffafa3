/** Stub keys and signatures end in thousands of zeros: runs of so many bytes are kept as their length. */
const RUN = Buffer.alloc(64)

/**
 * Byte strings by number, each kept once: ten thousand simulated disks hold the same few rows over and over.
 * What nobody holds any more is forgotten.
 */
export class BytePool {
  /** All are bounded by what the simulated disks hold. */
  readonly #numbers = new Map<string, number>()
  readonly #texts: string[] = []
  readonly #holders: number[] = []
  readonly #free: number[] = []

  /** The number of `bytes`; each call is to be matched by a {@link release}. */
  hold(bytes: Uint8Array): number {
    const text = pack(bytes)
    const known = this.#numbers.get(text)
    if (known !== undefined) {
      this.#holders[known] = (this.#holders[known] ?? 0) + 1
      return known
    }
    const number = this.#free.pop() ?? this.#texts.length
    this.#numbers.set(text, number)
    this.#texts[number] = text
    this.#holders[number] = 1
    return number
  }

  release(number: number): void {
    const left = (this.#holders[number] ?? 0) - 1
    this.#holders[number] = left
    if (left > 0) return
    this.#numbers.delete(this.#texts[number] ?? '')
    this.#texts[number] = ''
    this.#free.push(number)
  }

  /** The number of `bytes` if anybody holds them. */
  find(bytes: Uint8Array): number | undefined {
    return this.#numbers.get(pack(bytes))
  }

  /** A copy of the bytes. */
  bytes(number: number): Uint8Array {
    return unpack(this.#texts[number] ?? '')
  }

  /** Compares the bytes of two numbers, if both are shorter than a run. */
  compare(a: number, b: number): number {
    const [x = '', y = ''] = [this.#texts[a], this.#texts[b]]
    return x < y ? -1 : x > y ? 1 : 0
  }
}

/** One character for each byte. The first tells whether a run was taken out; then its place and length come first. */
function pack(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const at = bytes.byteLength > RUN.byteLength ? buffer.indexOf(RUN) : -1
  if (at < 0) return `0${buffer.toString('latin1')}`
  let end = at
  while (bytes[end] === 0) end += 1
  return `1${at},${end - at};${buffer.toString('latin1', 0, at)}${buffer.toString('latin1', end)}`
}

function unpack(text: string): Uint8Array {
  if (!text.startsWith('1')) return new Uint8Array(Buffer.from(text.slice(1), 'latin1'))
  const from = text.indexOf(';') + 1
  const [at = 0, length = 0] = text
    .slice(1, from - 1)
    .split(',')
    .map(Number)
  const rest = Buffer.from(text.slice(from), 'latin1')
  const bytes = new Uint8Array(rest.byteLength + length)
  bytes.set(rest.subarray(0, at))
  bytes.set(rest.subarray(at), at + length)
  return bytes
}
