import type { Clock } from '../base/clock.ts'
import { EspalierError } from '../base/error.ts'
import { checkOptions, flag, number, type CheckedTable } from '../base/options.ts'
import { closedError } from '../storage/checks.ts'
import type { Change, Store, TableName } from '../storage/store.ts'
import { TableStore } from '../storage/table-store.ts'
import { BytePool } from './byte-pool.ts'
import { DiskTable } from './disk-table.ts'
import type { SeededRng } from './rng.ts'
import { MAX_DELAY_MS, type World } from './world.ts'

/**
 * What goes wrong on a simulated disk from now on.
 *
 * @category Simulator
 */
export interface DiskFaults {
  /** What one write takes, at most a day. Default 0 ms. */
  readonly writeMs?: number
  /** Share of writes that fail and change nothing, 0 to 1. Default 0. */
  readonly failRatio?: number
  /** No room: every write but deletions is `STORAGE_FULL`. Default false. */
  readonly isFull?: boolean
  /**
   * Share of the rows under way, 0 to 1, that a crash leaves torn, new ones too: `STORAGE_CORRUPT` from then on. Default 0:
   * a write is all or nothing.
   */
  readonly tornRatio?: number
}

const FAULTS = {
  writeMs: number({ min: 0, max: MAX_DELAY_MS, default: 0 }),
  failRatio: number({ min: 0, max: 1, default: 0 }),
  isFull: flag({ default: false }),
  tornRatio: number({ min: 0, max: 1, default: 0 }),
}

/**
 * What a simulated node keeps over crashes. `open` gives the `Store` of one process.
 *
 * @category Simulator
 */
export class SimDisk {
  readonly #world: World
  readonly #clock: Clock
  readonly #rng: SeededRng
  readonly #pool: BytePool
  /** At most one for each name. */
  readonly #tables = new Map<TableName, DiskTable>()
  /** Writes that are not on disk yet. Bounded by what the node writes within `writeMs`. */
  readonly #underWay = new Set<readonly Change[]>()
  #faults: CheckedTable<typeof FAULTS> = checkOptions({}, FAULTS)
  #open: TableStore | undefined

  /** @internal */
  constructor(
    world: World,
    options: {
      readonly rng: SeededRng
      /** Decides what has expired. Default: that of the world. */
      readonly clock?: Clock
      /** Shared by the disks of one world. Default: its own. */
      readonly pool?: BytePool
    },
  ) {
    this.#world = world
    this.#rng = options.rng
    this.#clock = options.clock ?? world.clock
    this.#pool = options.pool ?? new BytePool()
  }

  /** Replaces the faults that there were; without arguments all is well. Throws `INVALID_ARGUMENT` for other ones. */
  setFaults(faults: DiskFaults = {}): void {
    this.#faults = checkOptions(faults, FAULTS, 'faults')
  }

  /**
   * The store of a process that starts now. One at a time: `STORAGE_BUSY`.
   *
   * @internal
   */
  open(): Store {
    if (this.#open?.isClosed === false) {
      throw new EspalierError('STORAGE_BUSY', 'another process has the store open')
    }
    this.#open = new TableStore({
      table: (name) => this.#table(name),
      write: (changes) => this.#write(changes),
      unixMs: () => this.#clock.unixMs(),
    })
    return this.#open
  }

  /**
   * The process ends without a word: what is not on disk yet is lost, or torn.
   *
   * @internal
   */
  crash(): void {
    this.#open?.cutOff()
    const { tornRatio } = this.#faults
    for (const changes of this.#underWay) {
      for (const change of changes) {
        if (tornRatio > 0 && this.#rng.float() < tornRatio) this.#table(change.table).tear(change)
      }
    }
    this.#underWay.clear()
  }

  /** Resolves when all is on disk. */
  async #write(changes: readonly Change[]): Promise<void> {
    const { writeMs, failRatio, isFull } = this.#faults
    const copies = changes.map((change) => ({
      ...change,
      key: Uint8Array.from(change.key),
      value: change.value === undefined ? undefined : Uint8Array.from(change.value),
    }))
    if (writeMs > 0) {
      this.#underWay.add(copies)
      await new Promise<void>((resolve) => {
        this.#world.schedule(writeMs, resolve)
      })
      // A crash came first: nobody is there to be told.
      if (!this.#underWay.delete(copies)) throw closedError()
    }
    if (isFull && changes.some(({ value }) => value !== undefined)) {
      throw new EspalierError('STORAGE_FULL', 'there is no room on the disk')
    }
    if (failRatio > 0 && this.#rng.float() < failRatio) {
      throw new EspalierError('STORAGE_CORRUPT', 'the disk could not write')
    }
    for (const change of copies) this.#table(change.table).apply(change)
  }

  #table(name: TableName): DiskTable {
    let table = this.#tables.get(name)
    if (table === undefined) this.#tables.set(name, (table = new DiskTable(this.#pool)))
    return table
  }
}
