import type { Address } from './address.ts'
import { parseGroups } from './ip-literal.ts'

/**
 * What an IP address is for. All but `global` are special: RFC 6890 and the IANA registries that it
 * founds (read 2026-11), and multicast (RFC 5771, RFC 4291 §2.7).
 */
export type AddressRange =
  | 'global'
  | 'unspecified'
  | 'multicast'
  | 'broadcast'
  | 'loopback'
  | 'linkLocal'
  | 'private'
  | 'cgnat'
  | 'documentation'
  | 'benchmarking'
  | 'reserved'
  | 'v4Mapped'
  | 'v4Compatible'
  | 'nat64'
  | 'sixToFour'
  | 'teredo'
  | 'discard'

/** First match wins, so the narrower range stands first. */
const IPV4: readonly (readonly [cidr: string, range: AddressRange])[] = [
  ['0.0.0.0/32', 'unspecified'],
  ['0.0.0.0/8', 'reserved'], // RFC 791 §3.2: this network
  ['10.0.0.0/8', 'private'], // RFC 1918
  ['100.64.0.0/10', 'cgnat'], // RFC 6598
  ['127.0.0.0/8', 'loopback'], // RFC 1122 §3.2.1.3
  ['169.254.0.0/16', 'linkLocal'], // RFC 3927
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'reserved'], // RFC 6890 §2.1: protocol assignments
  ['192.0.2.0/24', 'documentation'], // RFC 5737
  ['192.31.196.0/24', 'reserved'], // RFC 7535: AS112
  ['192.52.193.0/24', 'reserved'], // RFC 7450: AMT
  ['192.88.99.0/24', 'sixToFour'], // RFC 7526: deprecated relay anycast
  ['192.168.0.0/16', 'private'],
  ['192.175.48.0/24', 'reserved'], // RFC 7534: AS112
  ['198.18.0.0/15', 'benchmarking'], // RFC 2544
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['240.0.0.0/4', 'reserved'], // RFC 1112 §4
]

const IPV6: readonly (readonly [cidr: string, range: AddressRange])[] = [
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['::ffff:0:0/96', 'v4Mapped'], // RFC 4291 §2.5.5.2
  ['::/96', 'v4Compatible'], // RFC 4291 §2.5.5.1: deprecated
  ['64:ff9b::/96', 'nat64'], // RFC 6052
  ['64:ff9b:1::/48', 'nat64'], // RFC 8215
  ['100::/64', 'discard'], // RFC 6666
  ['100:0:0:1::/64', 'reserved'], // RFC 9780: dummy prefix
  ['2001::/32', 'teredo'], // RFC 4380
  ['2001:2::/48', 'benchmarking'], // RFC 5180
  ['2001:db8::/32', 'documentation'], // RFC 3849
  ['2001::/23', 'reserved'], // RFC 2928: protocol assignments, ORCHID among them
  ['2002::/16', 'sixToFour'], // RFC 3056
  ['2620:4f:8000::/48', 'reserved'], // RFC 7534: AS112
  ['3fff::/20', 'documentation'], // RFC 9637
  ['5f00::/16', 'reserved'], // RFC 9602: SRv6 SIDs
  ['fc00::/7', 'private'], // RFC 4193
  ['fe80::/10', 'linkLocal'],
  ['fec0::/10', 'private'], // RFC 3879: site-local, deprecated
  ['ff00::/8', 'multicast'],
  // Only 2000::/3 is handed out as global unicast (RFC 4291 §2.4 and the IANA address space registry).
  ['2000::/3', 'global'],
  ['::/0', 'reserved'],
]

interface Prefix {
  readonly groups: readonly number[]
  readonly bits: number
  readonly range: AddressRange
}

const PREFIXES_4 = IPV4.map(toPrefix)
const PREFIXES_6 = IPV6.map(toPrefix)

/** The range of an IP literal; nothing for text that is none, or that names a zone. */
export function rangeOf(host: string): AddressRange | undefined {
  const groups = parseGroups(host)
  if (groups === undefined) return undefined
  const prefixes = groups.length === 2 ? PREFIXES_4 : PREFIXES_6
  return prefixes.find((prefix) => matches(groups, prefix))?.range ?? 'global'
}

/**
 * Whether an address that a peer named may be dialled. Special ranges only when the operator allows
 * private networks; what can't be one node's endpoint never: not a literal, unspecified, multicast,
 * broadcast, and IPv4 in disguise, which would slip past the rules for IPv4.
 */
export function isDialable(address: Address, options: { readonly allowPrivate: boolean }): boolean {
  if (!Number.isInteger(address.port) || address.port < 1 || address.port > 65_535) return false
  const range = rangeOf(address.host)
  if (range === undefined || NEVER.has(range)) return false
  return range === 'global' || options.allowPrivate
}

const NEVER: ReadonlySet<AddressRange> = new Set([
  'unspecified',
  'multicast',
  'broadcast',
  'v4Mapped',
  'v4Compatible',
  'discard',
])

function toPrefix([cidr, range]: readonly [string, AddressRange]): Prefix {
  const [host = '', bits] = cidr.split('/')
  return { groups: parseGroups(host) ?? [], bits: Number(bits), range }
}

function matches(groups: readonly number[], { groups: prefix, bits }: Prefix): boolean {
  return prefix.every((group, index) => {
    const shift = 16 - Math.min(16, Math.max(0, bits - 16 * index))
    return group >>> shift === (groups[index] ?? 0) >>> shift
  })
}
