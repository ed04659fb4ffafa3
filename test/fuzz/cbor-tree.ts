import type { FastRandom } from './mutator.ts'

/** A CBOR item as it was written: how long its head is belongs to it, so that a mutation may change that too. */
export type CborNode = CborNumber | CborString | CborList | CborSimple

interface CborNumber {
  readonly major: 0 | 1
  readonly value: bigint
  readonly width?: number
}

interface CborString {
  readonly major: 2 | 3
  readonly bytes: Uint8Array
  readonly width?: number
  /** Written as the length, whatever there is. */
  readonly lie?: bigint
}

interface CborList {
  readonly major: 4 | 5
  readonly items: readonly CborNode[]
  readonly width?: number
  readonly lie?: bigint
  readonly indefinite?: boolean
}

interface CborSimple {
  readonly major: 7
  readonly simple: number
}

/** The tree of what our encoders wrote; this reader trusts its input. */
export function parseTree(bytes: Uint8Array): CborNode {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  const item = (): CborNode => {
    const initial = view.getUint8(at++)
    const major = initial >> 5
    if (major === 7) return { major, simple: initial & 31 }
    const value = argument(initial & 31)
    if (major === 0 || major === 1) return { major, value }
    if (major === 2 || major === 3) {
      const start = at
      at += Number(value)
      return { major, bytes: bytes.slice(start, at) }
    }
    const count = Number(value) * (major === 5 ? 2 : 1)
    return { major: major as 4 | 5, items: Array.from({ length: count }, item) }
  }
  const argument = (additional: number): bigint => {
    if (additional < 24) return BigInt(additional)
    const width = 1 << (additional - 24)
    let value = 0n
    for (const end = at + width; at < end; at += 1) value = (value << 8n) | BigInt(view.getUint8(at))
    return value
  }
  return item()
}

/** Bytes of a tree, lies and odd spellings included. */
export function encodeTree(node: CborNode): Uint8Array {
  const out: number[] = []
  write(node, out)
  return Uint8Array.from(out)
}

function write(node: CborNode, out: number[]): void {
  if ('simple' in node) {
    out.push(0xe0 | node.simple)
  } else if ('value' in node) {
    head(out, node.major, node.value, node.width)
  } else if ('bytes' in node) {
    head(out, node.major, node.lie ?? BigInt(node.bytes.length), node.width)
    for (const byte of node.bytes) out.push(byte)
  } else {
    if (node.indefinite === true) out.push((node.major << 5) | 31)
    else
      head(out, node.major, node.lie ?? BigInt(node.items.length >> (node.major === 5 ? 1 : 0)), node.width)
    for (const item of node.items) write(item, out)
    if (node.indefinite === true) out.push(0xff)
  }
}

function head(out: number[], major: number, value: bigint, width = shortest(value)): void {
  if (width === 0) {
    out.push((major << 5) | Number(value))
    return
  }
  out.push((major << 5) | (24 + Math.log2(width)))
  for (let shift = 8 * (width - 1); shift >= 0; shift -= 8) out.push(Number((value >> BigInt(shift)) & 0xffn))
}

function shortest(value: bigint): number {
  if (value < 24n) return 0
  if (value < 0x100n) return 1
  if (value < 0x1_0000n) return 2
  return value < 0x1_0000_0000n ? 4 : 8
}

const NUMBERS = [
  0n,
  1n,
  23n,
  24n,
  31n,
  32n,
  33n,
  63n,
  64n,
  65n,
  255n,
  256n,
  512n,
  4_096n,
  65_535n,
  65_536n,
  4_194_304n,
  4_194_305n,
  0xffff_ffffn,
  0x1_0000_0000n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
]

/** A tree with one item changed, and whether it is still in the one spelling that readers accept. */
export function mutateTree(random: FastRandom, root: CborNode): { node: CborNode; canonical: boolean } {
  let canonical = true
  const replace = (node: CborNode): CborNode => {
    const kind = random.below(12)
    if (kind === 0) return fresh(random)
    if (kind === 1) {
      const odd = oddSpelling(random, node)
      if (odd !== undefined) {
        canonical = false
        return odd
      }
    }
    if ('value' in node) return { major: kind < 3 ? 1 : 0, value: number(random, node.value) }
    if ('bytes' in node) return changedString(random, node)
    if (node.major === 7) return { major: 7, simple: random.pick([20, 21, 22, 23, 24, 25, 27, 31]) }
    return changedList(random, node)
  }
  let steps = random.below(size(root))
  const visit = (node: CborNode): CborNode => {
    if (steps-- === 0) return replace(node)
    if (!('items' in node) || steps < 0) return node
    return { ...node, items: node.items.map(visit) }
  }
  return { node: visit(root), canonical }
}

function size(node: CborNode): number {
  return 'items' in node ? node.items.reduce((sum, item) => sum + size(item), 1) : 1
}

/** The same item spelt as RFC 8949 §4.2 forbids, or with a length that is not true. */
function oddSpelling(random: FastRandom, node: CborNode): CborNode | undefined {
  if ('simple' in node) return undefined
  const value = 'value' in node ? node.value : BigInt('bytes' in node ? node.bytes.length : node.items.length)
  if ('items' in node && random.below(3) === 0) return { ...node, indefinite: true }
  if (!('value' in node) && random.below(2) === 0) {
    // Only a length that reaches beyond everything is a lie for sure.
    return { ...node, lie: random.pick([2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 64n - 1n]) }
  }
  const wider = [1, 2, 4, 8].filter((width) => width > shortest(value))
  return wider.length === 0 ? undefined : { ...node, width: random.pick(wider) }
}

function number(random: FastRandom, value: bigint): bigint {
  const drawn = random.below(3) === 0 ? value + (random.below(2) === 0 ? 1n : -1n) : random.pick(NUMBERS)
  return drawn < 0n || drawn >= 2n ** 64n ? 0n : drawn
}

function changedString(random: FastRandom, node: CborString): CborNode {
  const { bytes } = node
  if (random.below(8) === 0) return { major: node.major === 2 ? 3 : 2, bytes }
  const length =
    random.below(2) === 0 ? bytes.length : random.pick([0, 1, bytes.length - 1, bytes.length + 1, 32, 64])
  const changed = new Uint8Array(Math.max(0, length))
  changed.set(bytes.subarray(0, changed.length))
  for (let count = random.below(4); count > 0; count -= 1)
    changed[random.below(changed.length)] = random.below(256)
  return { major: node.major, bytes: changed }
}

function changedList(random: FastRandom, node: CborList): CborNode {
  const items = [...node.items]
  const at = random.below(items.length)
  const some = items[at]
  switch (random.below(6)) {
    case 0:
      items.splice(at, 1)
      break
    case 1:
      items.splice(at, 0, some ?? fresh(random))
      break
    case 2:
      items.push(fresh(random))
      break
    case 3:
      items.reverse()
      break
    case 4:
      return { major: node.major === 4 ? 5 : 4, items: items.length % 2 === 0 ? items : items.slice(1) }
    default:
      for (let count = random.below(40); count > 0; count -= 1)
        items.push(some ?? { major: 0, value: BigInt(count) })
  }
  return { major: node.major, items: node.major === 5 && items.length % 2 === 1 ? items.slice(1) : items }
}

/** Something that was not there, at times nested deeper than readers go, at times an extension of a later version. */
function fresh(random: FastRandom): CborNode {
  switch (random.below(7)) {
    case 0:
      return { major: 0, value: random.pick(NUMBERS) }
    case 1:
      return { major: 2, bytes: new Uint8Array(random.below(64)).fill(random.below(256)) }
    case 2:
      return { major: 3, bytes: Uint8Array.from({ length: random.below(32) }, () => 0x20 + random.below(95)) }
    case 3:
      return { major: 7, simple: random.pick([20, 21, 22, 23]) }
    case 4: {
      let nested: CborNode = { major: 4, items: [] }
      for (let depth = random.below(24); depth > 0; depth -= 1) nested = { major: 4, items: [nested] }
      return nested
    }
    case 5: {
      let nested: CborNode = { major: 5, items: [] }
      for (let depth = random.below(24); depth > 0; depth -= 1) {
        nested = { major: 5, items: [{ major: 0, value: BigInt(depth) }, nested] }
      }
      return nested
    }
    default:
      return {
        major: 5,
        items: Array.from({ length: random.below(6) }, (_, at): CborNode[] => [
          { major: 0, value: BigInt(at) },
          { major: 0, value: random.pick(NUMBERS) },
        ]).flat(),
      }
  }
}
