/** xorshift128 (Marsaglia): a generator that costs nothing beside what is fuzzed. */
export class FastRandom {
  #x: number
  #y: number
  #z: number
  #w: number

  constructor(seed: number) {
    // Every seed but the all-zero state, which this constant rules out.
    this.#x = seed | 0
    this.#y = 0x9e37_79b9 | 0
    this.#z = (seed * 0x85eb_ca6b) | 0
    this.#w = 0xc2b2_ae35 | 0
    for (let round = 0; round < 16; round += 1) this.bits()
  }

  /** 32 random bits, unsigned. */
  bits(): number {
    const mixed = this.#x ^ (this.#x << 11)
    this.#x = this.#y
    this.#y = this.#z
    this.#z = this.#w
    this.#w = this.#w ^ (this.#w >>> 19) ^ mixed ^ (mixed >>> 8)
    return this.#w >>> 0
  }

  /** 0 to `bound` − 1; 0 for a bound of 0. */
  below(bound: number): number {
    return bound === 0 ? 0 : this.bits() % bound
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new RangeError('nothing to pick from')
    return item
  }
}

/** Bytes at which lengths, types and signs of CBOR and of frames turn. */
const INTERESTING = [
  0, 1, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1f, 0x40, 0x58, 0x60, 0x7f, 0x80, 0x9f, 0xa0, 0xf6, 0xff,
]

/** One to four changes of bytes to one of `corpus`. */
export function mutateBytes(random: FastRandom, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes = Uint8Array.from(random.pick(corpus))
  for (let count = 1 + random.below(4); count > 0; count -= 1) bytes = change(random, corpus, bytes)
  return bytes
}

function change(
  random: FastRandom,
  corpus: readonly Uint8Array[],
  bytes: Uint8Array,
): Uint8Array<ArrayBuffer> {
  // Heads stand at the front of most messages, so half of the changes go there.
  const reach = random.below(2) === 0 ? Math.min(bytes.length, 64) : bytes.length
  const at = random.below(reach)
  const here = bytes[at] ?? 0
  switch (random.below(8)) {
    case 0:
      return written(bytes, { at, byte: here ^ (1 << random.below(8)) })
    case 1:
      return written(bytes, { at, byte: random.below(256) })
    case 2:
      return written(bytes, { at, byte: random.pick(INTERESTING) })
    case 3:
      return written(bytes, { at, byte: here + (random.below(2) === 0 ? 1 : 255) })
    case 4:
      return bytes.slice(0, at)
    case 5:
      return joined(
        bytes.subarray(0, at),
        new Uint8Array(1 + random.below(8)).fill(random.below(256)),
        bytes.subarray(at),
      )
    case 6:
      return joined(bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(8)))
    default: {
      const other = random.pick(corpus)
      return joined(bytes.subarray(0, at), other.subarray(random.below(other.length)))
    }
  }
}

function written(
  bytes: Uint8Array,
  change: { readonly at: number; readonly byte: number },
): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(bytes)
  if (change.at < copy.length) copy[change.at] = change.byte
  return copy
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
