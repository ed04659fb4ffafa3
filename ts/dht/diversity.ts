import { parseGroups } from '../net/ip-literal.ts'
import { rangeOf } from '../net/special-ranges.ts'

/** A network whose nodes are counted together. */
export type NetworkKind = 'ipv4' | 'ipv4/24' | 'ipv4/16' | 'ipv6/64' | 'ipv6/48' | 'ipv6/32' | 'asn'

/** Nodes of one network that a view of any size takes. */
const CAPS: Readonly<Record<NetworkKind, number>> = {
  ipv4: 1,
  'ipv4/24': 3,
  'ipv4/16': 10,
  'ipv6/64': 1,
  'ipv6/48': 3,
  'ipv6/32': 10,
  asn: 20,
}
/** A larger view takes this share of it from one network. */
const SHARE = 0.02
/** Below this size two nodes may have one IPv4 address: 2 % of the view is no node yet. */
const SMALL_VIEW = 50
const CAP_IPV4_SMALL = 2

/**
 * Where a node is, in twelve bytes. IPv4: the address in `low` below a `high` of zero. IPv6: the first 64 bits, whose
 * `high` is never zero where addresses are handed out, in 2000::/3 (RFC 4291 §2.4). All zeros count for nothing.
 */
export interface NetworkPlace {
  readonly high: number
  readonly low: number
  /** Number of the autonomous system; 0 when it is not known. */
  readonly asn: number
  /** Machines are for hire there: half as many nodes count. */
  readonly isHosting: boolean
}

/** Places of the nodes of a view, one a row. Rows that are all zeros count for nothing. */
export interface NetworkColumns {
  readonly netHigh: Uint32Array
  readonly netLow: Uint32Array
  readonly asn: Uint32Array
}

/**
 * What is known of addresses beside their bits; each answers nothing for an address that it does not know. Whoever makes
 * the table has to bring it: `EspalierNode` has no such data and leaves both out.
 */
export interface NetworkKnowledge {
  /** Number of the autonomous system, 1 to 2³² − 1. */
  readonly asnOf?: (host: string) => number | undefined
  readonly isHosting?: (host: string) => boolean
}

/** The place of what is no matter where, or no literal of an address. */
export const NOWHERE: NetworkPlace = { high: 0, low: 0, asn: 0, isHosting: false }

/**
 * The place of an IP literal. With `allowPrivate` loopback, private and other special ranges are {@link NOWHERE}:
 * a network of one's own has all its nodes there.
 */
export function networkPlaceOf(
  host: string,
  options: NetworkKnowledge & { readonly allowPrivate: boolean },
): NetworkPlace {
  const groups = parseGroups(host)
  if (groups === undefined || (options.allowPrivate && rangeOf(host) !== 'global')) return NOWHERE
  const [a = 0, b = 0, c = 0, d = 0] = groups
  const isV4 = groups.length === 2
  return {
    high: isV4 ? 0 : word(a, b),
    low: isV4 ? word(a, b) : word(c, d),
    asn: options.asnOf?.(host) ?? 0,
    isHosting: options.isHosting?.(host) === true,
  }
}

/**
 * The first network that has no room for another node in a view of `size` nodes; nothing when it may join. Whoever
 * rents a prefix gets a few places with it, however many nodes run there.
 */
export function refusalOf(
  place: NetworkPlace,
  view: NetworkColumns & { readonly size: number },
): NetworkKind | undefined {
  const { high, low, asn } = place
  if (high === 0 && low === 0 && asn === 0) return undefined
  const { netHigh, netLow, asn: asns } = view
  let narrow = 0
  let middle = 0
  let wide = 0
  let system = 0
  for (let row = 0; row < netHigh.length; row += 1) {
    if (asn !== 0 && asns[row] === asn) system += 1
    const highBits = (netHigh[row] ?? 0) ^ high
    const lowBits = (netLow[row] ?? 0) ^ low
    // The wide prefix is all of `high` for IPv6; half of `low`, below equal zeros in `high`, for IPv4.
    if (highBits !== 0 || (high === 0 && lowBits >>> 16 !== 0)) continue
    wide += 1
    if (high === 0 ? lowBits >>> 8 === 0 : lowBits >>> 16 === 0) middle += 1
    if (lowBits === 0) narrow += 1
  }
  const kinds: readonly (readonly [NetworkKind, number])[] =
    high === 0
      ? [['ipv4', narrow], ['ipv4/24', middle], ['ipv4/16', wide], ['asn', system]] // prettier-ignore
      : [['ipv6/64', narrow], ['ipv6/48', middle], ['ipv6/32', wide], ['asn', system]] // prettier-ignore
  return kinds.find(([kind, count]) => count >= limitOf(kind, view.size, place.isHosting))?.[0]
}

/**
 * How evenly the nodes of a view spread over IPv4 /16 and IPv6 /32 networks: Shannon's entropy over its largest value,
 * 0 (all in one) to 1 (each in its own). 1 for fewer than two nodes.
 */
export function evennessOf({ netHigh, netLow }: NetworkColumns): number {
  const counts = new Map<number, number>()
  let total = 0
  for (let row = 0; row < netHigh.length; row += 1) {
    const high = netHigh[row] ?? 0
    const low = netLow[row] ?? 0
    if (high === 0 && low === 0) continue
    const network = high === 0 ? low >>> 16 : high
    counts.set(network, (counts.get(network) ?? 0) + 1)
    total += 1
  }
  if (total < 2) return 1
  let entropy = 0
  for (const count of counts.values()) entropy -= (count / total) * Math.log(count / total)
  return Math.max(0, entropy / Math.log(total))
}

function limitOf(kind: NetworkKind, viewSize: number, isHosting: boolean): number {
  const cap = kind === 'ipv4' && viewSize < SMALL_VIEW ? CAP_IPV4_SMALL : CAPS[kind]
  const limit = Math.max(cap, Math.floor(SHARE * viewSize))
  return isHosting ? Math.max(1, Math.floor(limit / 2)) : limit
}

function word(left: number, right: number): number {
  return ((left << 16) | right) >>> 0
}
