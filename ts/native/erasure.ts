import { checkBytes, checkInteger, checkList, checkOptions, invalid } from './check.ts'
import { EspalierError } from '../base/error.ts'
import { native } from './error.ts'
import { addon } from './load.ts'

/**
 * The most data and parity shards together.
 *
 * @category Erasure coding
 */
export const MAX_SHARDS = 255
/**
 * The largest shard, in bytes.
 *
 * @category Erasure coding
 */
export const MAX_SHARD_BYTES = 4 * 1024 * 1024

/**
 * How many pieces something is cut into, and how many of them may be lost.
 *
 * @category Erasure coding
 */
export interface ShardLayout {
  /** Shards that suffice to give everything back, 1 to 255. */
  readonly dataShards: number
  /** Shards that may be lost, 0 to 255 − dataShards. */
  readonly parityShards: number
}

/** Checks a layout. Throws `INVALID_ARGUMENT`. @internal */
export function checkLayout(layout: ShardLayout | undefined): ShardLayout {
  const given = checkOptions('layout', layout, ['dataShards', 'parityShards'])
  const dataShards = checkInteger('dataShards', given.dataShards, 1, MAX_SHARDS)
  const parityShards = checkInteger('parityShards', given.parityShards, 0, MAX_SHARDS - dataShards)
  return { dataShards, parityShards }
}

/** One place for each shard of a layout, absent ones `undefined`. Throws `INVALID_ARGUMENT`. @internal */
export function checkShards(layout: ShardLayout, shards: unknown): (Uint8Array | undefined)[] {
  const total = layout.dataShards + layout.parityShards
  const list = checkList('shards', shards, MAX_SHARDS)
  if (list.length !== total) throw invalid('shards', `${list.length} places`, `${total} are needed`)
  return list.map((shard, index) => {
    return shard === undefined ? undefined : checkBytes(`shards[${index}]`, shard, SHARD_SIZE)
  })
}

/**
 * Systematic Reed–Solomon over GF(2⁸) with the Cauchy matrix of ISA-L: the wire format of objects.
 *
 * @example
 * ```ts
 * import { ErasureCoder } from 'espalier/crypto'
 *
 * const coder = new ErasureCoder({ dataShards: 3, parityShards: 2 })
 * const data = ['app', 'le ', 'tre'].map((text) => Buffer.from(text))
 * const [p, q] = coder.encode(data)
 *
 * const rebuilt = coder.reconstruct([undefined, data[1], undefined, p, q])
 * console.log(Buffer.concat(rebuilt.slice(0, 3)).toString()) // apple tre
 * ```
 *
 * @category Erasure coding
 */
export class ErasureCoder {
  /** The layout of every stripe. */
  readonly layout: ShardLayout

  /** Throws `INVALID_ARGUMENT`. */
  constructor(layout: ShardLayout) {
    this.layout = Object.freeze(checkLayout(layout))
  }

  /** The parity of `dataShards`, which all have the same size, 1 byte to 4 MiB. Throws `INVALID_ARGUMENT`. */
  encode(dataShards: readonly Uint8Array[]): Uint8Array[] {
    const size = this.#checkData(dataShards)[0]?.byteLength ?? 0
    const parity = Array.from({ length: this.layout.parityShards }, () => new Uint8Array(size))
    this.encodeInto(dataShards, parity)
    return parity
  }

  /**
   * As {@link encode}, into buffers that the caller keeps: fresh memory costs more than the arithmetic.
   * `parity` has a place of the shards' size for each parity shard, and shares no memory with anything.
   * Throws `INVALID_ARGUMENT`.
   */
  encodeInto(dataShards: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
    const data = this.#checkData(dataShards)
    const size = data[0]?.byteLength ?? 0
    const out = checkOutputs('parity', parity, { count: this.layout.parityShards, size })
    native(() => addon().erasureEncode(this.layout.dataShards, this.layout.parityShards, data, out))
  }

  /**
   * All shards in order, from any `dataShards` of them; the given ones are returned as they are. Throws
   * `SHARDS_MISSING` (details: found, needed) with fewer, `INVALID_ARGUMENT` for wrong types and sizes.
   */
  reconstruct(shards: readonly (Uint8Array | undefined)[]): Uint8Array[] {
    const list = checkShards(this.layout, shards)
    const size = this.#checkGiven(list)
    const rebuilt = list.filter((shard) => shard === undefined).map(() => new Uint8Array(size))
    this.reconstructInto(list, rebuilt)
    let next = 0
    return list.map((shard) => shard ?? rebuilt[next++] ?? new Uint8Array(0))
  }

  /**
   * As {@link reconstruct}, but only the absent shards, in order, into buffers that the caller keeps, one for
   * each of them. Throws `SHARDS_MISSING`, `INVALID_ARGUMENT`.
   */
  reconstructInto(shards: readonly (Uint8Array | undefined)[], rebuilt: readonly Uint8Array[]): void {
    const list = checkShards(this.layout, shards)
    const size = this.#checkGiven(list)
    const count = list.filter((shard) => shard === undefined).length
    const out = checkOutputs('rebuilt', rebuilt, { count, size })
    if (count === 0) return
    const { dataShards, parityShards } = this.layout
    native(() => addon().erasureReconstruct(dataShards, parityShards, list, out))
  }

  #checkData(dataShards: readonly Uint8Array[]): Uint8Array[] {
    const list = checkList('dataShards', dataShards, MAX_SHARDS)
    if (list.length !== this.layout.dataShards) {
      throw invalid('dataShards', `${list.length} shards`, `${this.layout.dataShards} are needed`)
    }
    const data = list.map((shard, index) => checkBytes(`dataShards[${index}]`, shard, SHARD_SIZE))
    checkEqualSizes('dataShards', data)
    return data
  }

  /** Answers the size of every shard. */
  #checkGiven(shards: readonly (Uint8Array | undefined)[]): number {
    const given = shards.filter((shard) => shard !== undefined)
    checkEnough(this.layout, given.length)
    return checkEqualSizes('shards', given)
  }
}

/** Throws `SHARDS_MISSING` when `found` shards don't suffice. @internal */
export function checkEnough({ dataShards: needed }: ShardLayout, found: number): void {
  if (found >= needed) return
  throw new EspalierError('SHARDS_MISSING', `${found} of ${needed} shards were given`, {
    details: { found, needed },
  })
}

function checkOutputs(
  name: string,
  outputs: unknown,
  { count, size }: { readonly count: number; readonly size: number },
): Uint8Array[] {
  const list = checkList(name, outputs, MAX_SHARDS)
  if (list.length !== count) throw invalid(name, `${list.length} buffers`, `${count} are needed`)
  return list.map((output, index) => checkBytes(`${name}[${index}]`, output, size))
}

function checkEqualSizes(name: string, shards: readonly Uint8Array[]): number {
  const size = shards[0]?.byteLength ?? 0
  const odd = shards.find((shard) => shard.byteLength !== size)
  if (odd !== undefined)
    throw invalid(name, `${odd.byteLength} bytes`, `${size}, as in the first shard, are needed`)
  return size
}

const SHARD_SIZE = { min: 1, max: MAX_SHARD_BYTES }
