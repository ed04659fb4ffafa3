import type { NodeId } from '../../base/identity.ts'
import { playLookup, type LookupPlan, type LookupStage } from '../hostile-lookup.ts'
import { drawPlot, type Curve } from '../plot.ts'
import { SeededRng } from '../rng.ts'
import type { Played, PlayOptions, Report, Scenario } from '../scenario.ts'
import { Colluders, drawIds, drawTarget, Settlement, targetOf } from '../settlement.ts'
import { Trace } from '../trace.ts'

/** Nodes nearest to a key, which keep what is stored there: s of the paper. */
const SIBLINGS = 16
const LOOKUPS = 1_000
const PATHS = [1, 2, 4, 8]
const SHARES = Array.from({ length: 19 }, (_, at) => at * 5)

interface Line {
  readonly name: string
  /** What is looked for: an honest node, or a value of the nodes nearest to it. */
  readonly of: 'node' | 'value'
  /** Contacts of one bucket. */
  readonly bucketSize: number
  readonly plan: LookupPlan
  readonly style: Curve['style']
}

const SILENT = { alpha: 1, restarts: 0, adversary: 'silent' } as const

/** Everything that is drawn: both set-ups of the paper, then this library with its k and its restarts. */
const LINES: readonly Line[] = [
  ...PATHS.map((paths): Line => {
    const plan = { ...SILENT, k: 16, paths }
    return { name: `k = 16, d = ${paths}`, of: 'node', bucketSize: 16, plan, style: 'plain' }
  }),
  // With d = 8 it is the same as the other set-up.
  ...PATHS.filter((paths) => paths < 8).map((paths): Line => {
    const plan = { ...SILENT, k: 2 * paths, paths }
    return { name: `k = 2d, d = ${paths}`, of: 'node', bucketSize: 2 * paths, plan, style: 'dashed' }
  }),
  ...[4, 8].map((paths): Line => {
    const plan = { ...SILENT, k: 20, paths, restarts: 2 }
    return { name: `k = 20, d = ${paths}, 2 restarts`, of: 'node', bucketSize: 20, plan, style: 'bold' }
  }),
  ...[0, 2].map((restarts): Line => {
    const plan = { ...SILENT, k: 20, paths: 8, restarts }
    return { name: `values, d = 8, ${restarts} restarts`, of: 'value', bucketSize: 20, plan, style: 'dashed' }
  }),
  // Colluders that answer: the product as it is, and with one request at a time on each path.
  ...[
    { paths: 4, alpha: 3 },
    { paths: 8, alpha: 3 },
    { paths: 4, alpha: 1 },
  ].map(({ paths, alpha }): Line => {
    const plan = { k: 20, alpha, paths, restarts: 2, adversary: 'leading' } as const
    const name = `values, led astray, d = ${paths}, α = ${alpha}`
    return { name, of: 'value', bucketSize: 20, plan, style: 'bold' }
  }),
]

/**
 * The experiment of S/Kademlia (Baumgart and Mies, ICPADS 2007, §5) with the look-up and the routing table of the
 * product: a network that stands still, a growing share of colluders, look-ups from honest nodes for honest nodes,
 * as in the paper, and for values that prove themselves and that the {@link SIBLINGS} nearest nodes keep.
 */
export const scenario: Scenario = {
  about: 'the share of look-ups that succeed among colluders, as in the paper of S/Kademlia',
  nodes: 10_000,
  play: (options) => Promise.resolve(play(options)),
  report,
}

function play({ seed, nodes, progress }: PlayOptions): Played {
  const rng = new SeededRng(`s-kademlia ${seed}`)
  const ids = drawIds(nodes, rng.split('ids'))
  // The ids are random, so that the first of them are a random choice: each share contains the smaller ones.
  const figures: Record<string, number> = {}
  const trace = new Trace()
  const settlements = new Map<number, Settlement>()
  for (const line of LINES) {
    const { name, bucketSize } = line
    progress(name)
    const settlement =
      settlements.get(bucketSize) ??
      new Settlement(ids, { bucketSize, rng: rng.split(`tables of ${bucketSize}`) })
    settlements.set(bucketSize, settlement)
    for (const share of SHARES) {
      const { success, requests } = measure(line, { settlement, share, rng: rng.split(`share ${share}`) })
      trace.line(`${name} ${share} ${success} ${requests}\n`)
      figures[successName(name, share)] = success
      figures[requestsName(name, share)] = requests
    }
  }
  return { figures, broken: [], traceHash: trace.digest() }
}

function measure(
  { plan, of }: Line,
  stage: { readonly settlement: Settlement; readonly share: number; readonly rng: SeededRng },
): { readonly success: number; readonly requests: number } {
  const { settlement, share, rng } = stage
  const { ids } = settlement
  const hostile = Math.round((ids.length * share) / 100)
  const colluders = new Colluders(ids.slice(0, hostile))
  const honest = (): NodeId => ids[hostile + rng.below(ids.length - hostile)] as NodeId
  let found = 0
  let requests = 0
  for (let look = 0; look < LOOKUPS; look += 1) {
    const from = honest()
    const whom = { settlement, colluders, from }
    const end = playLookup(
      of === 'node' ? { ...whom, target: targetOf(honestBut(from, honest)) } : valueAmong(whom, rng),
      plan,
    )
    if (end.found) found += 1
    requests += end.requests
  }
  return { success: found / LOOKUPS, requests: requests / LOOKUPS }
}

function honestBut(other: NodeId, draw: () => NodeId): NodeId {
  let id = draw()
  while (id === other) id = draw()
  return id
}

function valueAmong(whom: Omit<LookupStage, 'target' | 'holders'>, rng: SeededRng): LookupStage {
  const target = drawTarget(rng)
  return { ...whom, target, holders: new Set(whom.settlement.siblings(target.id, SIBLINGS)) }
}

function report(runs: readonly Played[]): Report {
  const mean = (figure: string): number =>
    runs.reduce((sum, { figures }) => sum + (figures[figure] ?? 0), 0) / runs.length
  const table = (title: string, cell: (line: string, share: number) => string): string[] => [
    `| ${title} | ${SHARES.map((share) => `${share} %`).join(' | ')} |`,
    `| --- | ${SHARES.map(() => '---:').join(' | ')} |`,
    ...LINES.map(({ name }) => `| ${name} | ${SHARES.map((share) => cell(name, share)).join(' | ')} |`),
  ]
  const text = [
    ...table('found, % of look-ups', (name, share) => (100 * mean(successName(name, share))).toFixed(1)),
    '',
    ...table('requests on average', (name, share) => mean(requestsName(name, share)).toFixed(1)),
    '',
    `${runs.length * LOOKUPS} look-ups for each figure.`,
  ].join('\n')
  const curves = LINES.map(({ name, style }): Curve => {
    const points = SHARES.map((share): [number, number] => [share, 100 * mean(successName(name, share))])
    return { name, points, style }
  })
  const plot = drawPlot(curves, { x: 'colluders, % of all nodes', y: 'look-ups that succeeded, %' })
  return { text, drawings: { 'docs/s-kademlia.svg': plot } }
}

function successName(line: string, share: number): string {
  return `${line}, ${share} %: found`
}

function requestsName(line: string, share: number): string {
  return `${line}, ${share} %: requests`
}
