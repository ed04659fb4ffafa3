import type { Key } from '../base/identity.ts'
import { commonPrefixBits, distanceOfHeads, headOfKey } from './key.ts'
import { tailOfPoisson } from './poisson.ts'

/** Prefix lengths that diverge more than this are suspicious (Sridhar et al., NDSS 2024, §6). */
const MAX_DIVERGENCE = 0.94
/** Honest nodes are as near as this less often than once in 4,000 times. */
const MIN_PROBABILITY = 2.5e-4
/** Divergence alone also comes where nodes are missing: with it the nodes have to be nearer than usual, too. */
const MIN_PROBABILITY_IF_DIVERGENT = 0.01
/** Nobody has as many nodes as make longer prefixes common. */
const MAX_PREFIX_BITS = 64
/** Distances are read as 53 bits. */
const DISTANCE_UNIT = 2 ** -53
/** A share that is never zero: what can't be is a lot less likely than what is. */
const TINY = 1e-300

/** What the nodes nearest to a key tell about who chose their ids. */
export interface Neighbourhood {
  /** Kullback–Leibler divergence of the common prefixes' lengths from those that the size predicts, in nats. */
  readonly divergence: number
  /** How likely as many honest nodes are to be as near: 0 to 1; 1 when they are no nearer than expected. */
  readonly probability: number
  /** Whether somebody has probably made ids for this place. */
  readonly isCrowded: boolean
}

/**
 * Compares the nodes nearest to a key with what chance makes of a network of `networkSize` nodes. Who wants to own a
 * place has to be nearer than every honest node, and then all of his are far nearer than so many honest ones can be.
 *
 * Two tests: the divergence of prefix lengths (Sridhar et al., NDSS 2024, arXiv 2307.12212, §6), and how near the
 * farthest of the nodes is, which among N honest ones follows a Gamma distribution of shape k and rate N. Of 10,000
 * eclipses and 10,000 honest places (`test/unit/dht/eclipse.test.ts`) the first alone misses 10 and cries wolf in 28, the
 * second alone misses 2 and cries wolf in 2; the rule, which takes the first only together with a weaker second, misses 2
 * and cries wolf in 7.
 */
export function judgeNeighbourhood(
  target: Key,
  { closest, networkSize }: { readonly closest: readonly Key[]; readonly networkSize: number },
): Neighbourhood {
  // In a network no larger than the neighbourhood everybody is near.
  if (closest.length === 0 || networkSize <= closest.length) {
    return { divergence: 0, probability: 1, isCrowded: false }
  }
  const head = headOfKey(target)
  const farthest = Math.max(...closest.map((key) => distanceOfHeads(head, headOfKey(key)))) * DISTANCE_UNIT
  const lengths = closest.map((key) => Math.min(MAX_PREFIX_BITS, commonPrefixBits(target, key)))
  const divergence = divergenceOf(lengths, networkSize)
  // As many nodes within the distance of the farthest, where networkSize · farthest are expected.
  const probability = tailOfPoisson(networkSize * farthest, closest.length)
  const isCrowded =
    probability < MIN_PROBABILITY ||
    (divergence > MAX_DIVERGENCE && probability < MIN_PROBABILITY_IF_DIVERGENT)
  return { divergence, probability, isCrowded }
}

function divergenceOf(lengths: readonly number[], networkSize: number): number {
  const expected = expectedShares(networkSize, lengths.length)
  const counts = new Map<number, number>()
  for (const length of lengths) counts.set(length, (counts.get(length) ?? 0) + 1)
  let sum = 0
  for (const [length, count] of counts) {
    const share = count / lengths.length
    sum += share * Math.log(share / Math.max(TINY, expected[length] ?? 0))
  }
  return Math.max(0, sum)
}

/**
 * The share of the `count` nearest nodes that has each prefix length. The i-th nearest shares at least x bits when
 * at least i of all nodes do, each of which does with probability 2^−x.
 */
function expectedShares(networkSize: number, count: number): readonly number[] {
  const shares: number[] = []
  let atLeast: readonly number[] = new Array<number>(count).fill(1)
  for (let length = 0; length <= MAX_PREFIX_BITS; length += 1) {
    const longer = tailsOfBinomial(networkSize, { probability: 2 ** -(length + 1), count })
    shares.push(atLeast.reduce((sum, tail, at) => sum + tail - (longer[at] ?? 0), 0) / count)
    atLeast = longer
  }
  return shares
}

/** How likely at least 1, 2, … `count` of `size` are, each of which is there with `probability`. */
function tailsOfBinomial(
  size: number,
  { probability, count }: { readonly probability: number; readonly count: number },
): readonly number[] {
  const logOdds = Math.log(probability) - Math.log1p(-probability)
  const tails: number[] = []
  let logTerm = size * Math.log1p(-probability)
  let below = 0
  for (let few = 0; few < count; few += 1) {
    below += Math.exp(logTerm)
    tails.push(Math.max(0, 1 - below))
    logTerm += Math.log((size - few) / (few + 1)) + logOdds
  }
  return tails
}
