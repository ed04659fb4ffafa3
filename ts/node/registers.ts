import type { NodeId } from '../base/identity.ts'
import type { RegisterChange } from '../dht/newest-version.ts'
import type { RegisterVersion } from '../dht/register.ts'
import type { Registers } from '../dht/registers.ts'
import {
  checkHistory,
  checkPutValue,
  checkReadValue,
  checkWatch,
  type HistoryOptions,
  type PutValueOptions,
  type ReadValueOptions,
  type WatchOptions,
} from './check-call.ts'

/**
 * Small named values: `node.registers`. A register belongs to its owner, who alone can change it; whoever knows the
 * owner's id and the name can read it, and checks the owner's signature. Each change has a higher sequence.
 *
 * @category Named values
 */
export class NodeRegisters {
  readonly #registers: Registers

  /** @internal */
  constructor(registers: Registers) {
    this.#registers = registers
  }

  /**
   * Writes this node's register `name` (1 to 256 bytes of UTF-8), at most 256 bytes. Resolves with the sequence that it
   * got and who stored it. Codes: `VALUE_TOO_LARGE`, `RECORD_STALE` (`details.sequence` is the current one: another than
   * `expectSequence`, or a rival write won), `QUORUM_FAILED` (nobody stored it), `INVALID_ARGUMENT`, `TIMEOUT` (default
   * 30,000 ms), `ABORTED`.
   */
  async set(
    name: string,
    value: Uint8Array,
    options: PutValueOptions = {},
  ): Promise<{ readonly sequence: number; readonly accepted: readonly NodeId[] }> {
    return this.#registers.set(name, value, checkPutValue(name, value, options))
  }

  /**
   * Reads the newest version of the register `name` of `owner` that the nodes asked could prove, never an older one than
   * this node has read before, or nothing when none of them has it. Codes: `QUORUM_FAILED` (a read by quorum that too few
   * holders answered; `details` has `found` and `needed`), `INVALID_ARGUMENT`, `TIMEOUT` (default 30,000 ms), `ABORTED`.
   */
  async get(
    owner: string,
    name: string,
    options: ReadValueOptions = {},
  ): Promise<RegisterVersion | undefined> {
    return this.#registers.get(name, checkReadValue({ owner, name }, options))
  }

  /**
   * What the register `name` of `owner` says and what it said before, newest first: each version once, its signature
   * checked. A node that stores a register keeps the 8 versions before the newest, each for 30 days from when it was
   * superseded, where there is room; one that came near later knows only what came since. So the list is what is still known, and may
   * have gaps. Codes: `INVALID_ARGUMENT`, `TIMEOUT` (default 30,000 ms), `ABORTED`.
   *
   * @example
   * ```ts
   * import { localNetwork } from 'espalier/testing'
   *
   * const network = await localNetwork(3)
   * const [alice, bob] = network.nodes
   * for (const season of ['winter', 'spring']) await alice!.registers.set('season', Buffer.from(season))
   * const versions = await bob!.registers.history(alice!.id, 'season')
   * console.log(versions.map(({ value }) => Buffer.from(value).toString())) // [ 'spring', 'winter' ]
   * await network.stop()
   * ```
   */
  async history(
    owner: string,
    name: string,
    options: HistoryOptions = {},
  ): Promise<readonly RegisterVersion[]> {
    return this.#registers.history(name, checkHistory({ owner, name }, options))
  }

  /**
   * The register `name` of `owner` from now on: first the newest version that is there, then each newer one as soon as
   * this node hears of it, every one verified, never an older one. The nodes nearest to the register push its changes,
   * as long as they grant a lease; where none does, the register is read again every 22 to 38 minutes, and more
   * often at first. A consumer that is slow gets the newest version alone. What counts as a change is what the owner wrote:
   * that a version expires is none.
   *
   * The watch begins with the first step of the iteration and ends with it, when `signal` aborts, and when the node
   * stops; the iteration is then done, without an error. Several watches of one register cost no more than one. Codes:
   * `INVALID_ARGUMENT`; of the first step `LIMIT_EXCEEDED` (1,024 registers at once) and `CLOSED`.
   *
   * @example
   * ```ts
   * import { localNetwork } from 'espalier/testing'
   *
   * const network = await localNetwork(3)
   * const [alice, bob] = network.nodes
   * await alice!.registers.set('season', Buffer.from('winter'))
   * const seen: string[] = []
   * for await (const { value } of bob!.registers.watch(alice!.id, 'season')) {
   *   seen.push(Buffer.from(value).toString())
   *   if (seen.length === 2) break
   *   await alice!.registers.set('season', Buffer.from('spring'))
   * }
   * console.log(seen) // [ 'winter', 'spring' ]
   * await network.stop()
   * ```
   */
  watch(
    owner: string,
    name: string,
    options: WatchOptions = {},
  ): AsyncIterableIterator<RegisterChange, undefined> {
    return this.#registers.watch(name, checkWatch({ owner, name }, options))
  }
}
