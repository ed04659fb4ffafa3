import type { Address } from '../net/address.ts'
import { checkOptions, flag, integer, shape, type CheckedTable } from '../base/options.ts'
import { DEFAULT_VALUE_LIMITS } from './values.ts'

const MINUTE_MS = 60_000

/** How to run a {@link Dht}; every interval varies by ±25 %. */
export interface DhtOptions {
  /** Whether this node answers others and keeps records for them; false for `clientOnly`. Default true. */
  readonly serves?: boolean
  /** What this node tells others about where it is. Default: nothing. */
  readonly ownAddresses?: () => readonly Address[]
  /**
   * Contacts at loopback, private and other special addresses do not count for the limits of one network. Default false:
   * of one IPv4 address there is 1 contact (2 among fewer than 50), of a /24 3, of a /16 10, of an IPv6 /64 1, of a /48 3,
   * of a /32 10, of an autonomous system 20, or 2 % of the table where that is more.
   */
  readonly allowPrivate?: boolean
  /** Number of the autonomous system of an address, where it is known. `EspalierNode` has no such data. Default: of none. */
  readonly asnOf?: (host: string) => number | undefined
  /**
   * Whether an address belongs to who hires machines out: half as many contacts count there. `EspalierNode` has no such
   * data. Default: none does.
   */
  readonly isHosting?: (host: string) => boolean
  /** Nodes that keep a record, and contacts of one bucket. Default 20, at most 20. */
  readonly k?: number
  /** Requests in flight on each path of a look-up. Default 3. */
  readonly alpha?: number
  /** Node-disjoint paths of a look-up. Default 4. */
  readonly paths?: number
  /** Time-out of one request, dialling included. Default 5,000 ms. */
  readonly requestTimeoutMs?: number
  /** Time-out of a whole call that names none. Default 30,000 ms. */
  readonly callTimeoutMs?: number
  /** Look-around in one's own neighbourhood. Default 7.5 min. */
  readonly selfLookupIntervalMs?: number
  /** Refresh of the bucket that no look-up went into for the longest time. Default 10 min. */
  readonly refreshIntervalMs?: number
  /** Ping of the contact that was silent longest, for ten times this at least. Default 1 min. */
  readonly checkIntervalMs?: number
  /** Everything published is offered again. Default 1 h. */
  readonly republishIntervalMs?: number
  /** From a change of the table until it is saved and newcomers get their records. Default 10 s. */
  readonly housekeepingDelayMs?: number
  /** Removal of expired records. Default 5 min. */
  readonly sweepIntervalMs?: number
  /** Records kept in all. Default 65,536. */
  readonly maxRecords?: number
  /** Records kept of one owner. Default 8,192. */
  readonly maxPerOwner?: number
  /** Records kept that one peer brought. Default 16,384. */
  readonly maxPerSource?: number
}

const TABLE = {
  serves: flag({ default: true }),
  ownAddresses: shape(
    (value): value is () => readonly Address[] => typeof value === 'function',
    'a function',
    { default: () => [] },
  ),
  allowPrivate: flag({ default: false }),
  asnOf: shape(
    (value): value is (host: string) => number | undefined => typeof value === 'function',
    'a function',
    { default: () => undefined },
  ),
  isHosting: shape((value): value is (host: string) => boolean => typeof value === 'function', 'a function', {
    default: () => false,
  }),
  k: integer({ min: 1, max: 20, default: 20 }),
  alpha: integer({ min: 1, max: 32, default: 3 }),
  paths: integer({ min: 1, max: 16, default: 4 }),
  requestTimeoutMs: interval(5_000),
  callTimeoutMs: interval(30_000),
  selfLookupIntervalMs: interval(7.5 * MINUTE_MS),
  refreshIntervalMs: interval(10 * MINUTE_MS),
  checkIntervalMs: interval(MINUTE_MS),
  republishIntervalMs: interval(60 * MINUTE_MS),
  housekeepingDelayMs: interval(10_000),
  sweepIntervalMs: interval(5 * MINUTE_MS),
  maxRecords: limit(DEFAULT_VALUE_LIMITS.maxRecords),
  maxPerOwner: limit(DEFAULT_VALUE_LIMITS.maxPerOwner),
  maxPerSource: limit(DEFAULT_VALUE_LIMITS.maxPerSource),
}

export type CheckedDhtOptions = CheckedTable<typeof TABLE>

/** Throws `INVALID_ARGUMENT` for an unknown option or a value out of range. */
export function checkDhtOptions(options: DhtOptions): CheckedDhtOptions {
  return checkOptions(options, TABLE, 'dht options')
}

function interval(byDefault: number) {
  return integer({ min: 1, max: 7 * 24 * 60 * MINUTE_MS, default: byDefault })
}

function limit(byDefault: number) {
  return integer({ min: 0, max: 10_000_000, default: byDefault })
}
