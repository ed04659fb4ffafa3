import { toHex } from '../base/bytes.ts'

/** One version of a register as somebody was told of it. */
export interface Seen {
  readonly value: Uint8Array
  readonly sequence: number
}

interface History {
  /** Every value that its owner tried to write. Each is written once. */
  readonly tried: Set<string>
  /** What is known to stand under each sequence. */
  readonly bySequence: Map<number, string>
  acknowledged: Seen | undefined
  /** The last that each reader was shown, by reader. */
  readonly shown: Map<string, number>
}

/**
 * What was written to registers and what was read of them, and what that breaks of the promises of the product. Bounded
 * by what the scenario writes.
 */
export class Histories {
  /** In plain words. */
  readonly broken: string[] = []
  readonly #histories = new Map<string, History>()

  /** Owner and value of a write that begins: from now on it may be read, whatever becomes of it. */
  tries(register: string, value: Uint8Array): void {
    this.#of(register).tried.add(toHex(value))
  }

  /** A write that its owner was told to have succeeded, over the version that it expected. */
  acknowledges(register: string, version: Seen & { readonly expected: number }): void {
    const history = this.#of(register)
    const last = history.acknowledged?.sequence ?? 0
    if (version.expected < last) {
      this.broken.push(
        `${register}: a write over ${version.expected} succeeded after ${last} had been acknowledged`,
      )
    }
    if (version.sequence <= last) {
      this.broken.push(`${register}: ${version.sequence} was acknowledged after ${last}`)
    }
    this.#certify(register, version)
    history.acknowledged = version
  }

  /** What a reader was shown since it started; `reader` is another after each start. */
  reads(register: string, { reader, version }: { readonly reader: string; readonly version: Seen }): void {
    const history = this.#of(register)
    const { value, sequence } = version
    if (!history.tried.has(toHex(value))) this.broken.push(`${register}: ${reader} read what nobody wrote`)
    const last = history.shown.get(reader) ?? 0
    if (sequence < last) this.broken.push(`${register}: ${reader} read ${sequence} after ${last}`)
    history.shown.set(reader, Math.max(sequence, last))
    this.#certify(register, version)
  }

  /** The last write that succeeded, as far as its owner was told. */
  lastAcknowledged(register: string): Seen | undefined {
    return this.#histories.get(register)?.acknowledged
  }

  /** What somebody reads when all is well again: nothing, or an older version than the last one acknowledged, is lost. */
  readsAtLast(
    register: string,
    { reader, version }: { readonly reader: string; readonly version: Seen | undefined },
  ) {
    const acknowledged = this.lastAcknowledged(register)
    if (version !== undefined) this.reads(register, { reader, version })
    if (acknowledged === undefined || (version?.sequence ?? 0) >= acknowledged.sequence) return
    const found = version === undefined ? 'nothing' : `${version.sequence}`
    this.broken.push(`${register}: ${reader} found ${found}, but ${acknowledged.sequence} was acknowledged`)
  }

  /** No two values for one sequence. */
  #certify(register: string, { value, sequence }: Seen): void {
    const { bySequence } = this.#of(register)
    const known = bySequence.get(sequence)
    if (known !== undefined && known !== toHex(value)) {
      this.broken.push(`${register}: two values for sequence ${sequence}`)
    }
    bySequence.set(sequence, toHex(value))
  }

  #of(register: string): History {
    let history = this.#histories.get(register)
    if (history === undefined) {
      history = { tried: new Set(), bySequence: new Map(), acknowledged: undefined, shown: new Map() }
      this.#histories.set(register, history)
    }
    return history
  }
}
