import type { NodeId } from '../base/identity.ts'
import { parseGroups, prefixOf } from '../net/ip-literal.ts'
import { rangeOf } from '../net/special-ranges.ts'

/** A network whose nodes are counted together. */
export type NetworkKind =
  'ipv4' | 'ipv4/24' | 'ipv4/16' | 'ipv6/64' | 'ipv6/48' | 'ipv6/32' | 'asn' | 'unknown'

/** Nodes of one network that a view of any size takes. */
const CAPS: Readonly<Record<NetworkKind, number>> = {
  ipv4: 1,
  'ipv4/24': 3,
  'ipv4/16': 10,
  'ipv6/64': 1,
  'ipv6/48': 3,
  'ipv6/32': 10,
  asn: 20,
  // No literal: nothing tells such addresses apart.
  unknown: 1,
}
/** A larger view takes this share of it from one network. */
const SHARE = 0.02
/** Below this size two nodes may have one IPv4 address: 2 % of the view is no node yet. */
const SMALL_VIEW = 50
const CAP_IPV4_SMALL = 2

/** What is known of addresses beside their bits; each answers nothing for an address that it does not know. */
export interface NetworkKnowledge {
  /** Number of the autonomous system. */
  readonly asnOf?: (host: string) => number | undefined
  /** Whether machines are for hire there: half as many of them count. */
  readonly isHosting?: (host: string) => boolean
}

interface Network {
  readonly kind: NetworkKind
  readonly name: string
}

/**
 * How many nodes of one view (a routing table, a set of holders, a committee) come from one network, and whether
 * another may join: whoever rents a prefix gets a few places with it, however many nodes run there. A node counts
 * by the address that its packets come from, never by one that it claims. Decides only.
 */
export class Diversity {
  readonly #isExempt: (host: string) => boolean
  readonly #knowledge: NetworkKnowledge
  /** Nodes of each network. Bounded by the members, times four. */
  readonly #counts = new Map<string, number>()
  /** Names of the networks of each node that counts. Bounded by the view. */
  readonly #members = new Map<NodeId, readonly string[]>()

  constructor(
    options: {
      /** Loopback, private and link-local addresses count for nothing: for networks of one's own. */
      readonly allowPrivate: boolean
    },
    knowledge: NetworkKnowledge = {},
  ) {
    this.#isExempt = options.allowPrivate ? isSpecial : () => false
    this.#knowledge = knowledge
  }

  /**
   * The first network that is full for another node at this address, in a view of `viewSize` nodes; nothing when it
   * may join.
   */
  refusal(host: string, viewSize: number): NetworkKind | undefined {
    const isHosting = this.#knowledge.isHosting?.(host) === true
    return this.#networksOf(host).find(
      ({ kind, name }) => (this.#counts.get(name) ?? 0) >= limitOf(kind, { viewSize, isHosting }),
    )?.kind
  }

  /** Counts a node that joined the view, or that moved. Whether it may is {@link refusal}'s to say. */
  add(id: NodeId, host: string): void {
    this.remove(id)
    const names = this.#networksOf(host).map(({ name }) => name)
    if (names.length === 0) return
    for (const name of names) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    this.#members.set(id, names)
  }

  remove(id: NodeId): void {
    for (const name of this.#members.get(id) ?? []) {
      const left = (this.#counts.get(name) ?? 0) - 1
      if (left > 0) this.#counts.set(name, left)
      else this.#counts.delete(name)
    }
    this.#members.delete(id)
  }

  /**
   * How evenly the counted nodes spread over IPv4 /16 and IPv6 /32 networks: Shannon's entropy over its largest
   * value, 0 (all in one) to 1 (each in its own). 1 for fewer than two nodes.
   */
  get evenness(): number {
    const counts = [...this.#counts]
      .filter(([name]) => name.startsWith('4/16 ') || name.startsWith('6/32 '))
      .map(([, count]) => count)
    const total = counts.reduce((sum, count) => sum + count, 0)
    if (total < 2) return 1
    const entropy = counts.reduce((sum, count) => sum - (count / total) * Math.log(count / total), 0)
    return entropy / Math.log(total)
  }

  #networksOf(host: string): readonly Network[] {
    if (this.#isExempt(host)) return []
    const groups = parseGroups(host)
    if (groups === undefined) return [{ kind: 'unknown', name: 'unknown' }]
    const networks: Network[] =
      groups.length === 2
        ? [
            { kind: 'ipv4', name: prefixOf(groups, 32) },
            { kind: 'ipv4/24', name: prefixOf(groups, 24) },
            { kind: 'ipv4/16', name: prefixOf(groups, 16) },
          ]
        : [
            { kind: 'ipv6/64', name: prefixOf(groups, 64) },
            { kind: 'ipv6/48', name: prefixOf(groups, 48) },
            { kind: 'ipv6/32', name: prefixOf(groups, 32) },
          ]
    const asn = this.#knowledge.asnOf?.(host)
    if (asn !== undefined) networks.push({ kind: 'asn', name: `asn ${asn}` })
    return networks
  }
}

function limitOf(
  kind: NetworkKind,
  { viewSize, isHosting }: { readonly viewSize: number; readonly isHosting: boolean },
): number {
  const cap = kind === 'ipv4' && viewSize < SMALL_VIEW ? CAP_IPV4_SMALL : CAPS[kind]
  const limit = Math.max(cap, Math.floor(SHARE * viewSize))
  return isHosting ? Math.max(1, Math.floor(limit / 2)) : limit
}

function isSpecial(host: string): boolean {
  const range = rangeOf(host)
  return range !== undefined && range !== 'global'
}
