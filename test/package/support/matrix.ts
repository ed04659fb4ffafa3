import type { ManagerName, NodeLine } from './tools.ts'

/** How the addon comes into a project. */
export type Way = 'platform' | 'bundle' | 'neither' | 'path' | 'source'

/** An empty project: who fills it, which Node runs it, and what is tried in it. */
export interface Cell {
  readonly manager: ManagerName
  readonly line: NodeLine
  /** All of one kind of installation: `platform`; `bundle`; or any of the others, which share one. */
  readonly ways: readonly Way[]
}

/** What is installed with the core, and without which a way can't be tried. */
export type Installation = 'default' | 'bundle' | 'core alone'

export function installationOf(way: Way): Installation {
  if (way === 'platform') return 'default'
  return way === 'bundle' ? 'bundle' : 'core alone'
}

const MANAGERS: readonly ManagerName[] = ['npm11', 'npm12', 'pnpm12']
/** The registry has plain programs of Node for this platform only; elsewhere the tests have the Node that runs them. */
export const HAS_EVERY_NODE = process.platform === 'linux' && process.arch === 'x64'
const LINES = ([20, 22, 24, 26] as const).filter(
  (line) => HAS_EVERY_NODE || process.version.startsWith(`v${line}.`),
)

/** npm 12 refuses Node 20 itself (`engines` of npm 12: `^22.22.2 || ^24.15.0 || >=26`). */
function linesOf(manager: ManagerName): readonly NodeLine[] {
  return LINES.filter((line) => manager !== 'npm12' || line >= 22)
}

/** Every package manager on every Node in every way, each from an empty project. */
export function wholeMatrix(): Cell[] {
  return MANAGERS.flatMap((manager) =>
    linesOf(manager).flatMap((line): Cell[] => [
      { manager, line, ways: ['platform'] },
      { manager, line, ways: ['bundle'] },
      { manager, line, ways: ['neither', 'path', 'source'] },
    ]),
  )
}

/**
 * Every pair of manager and Node, of manager and way, and of Node and way, in as few projects as that takes; the build
 * from source, which takes minutes, is left to the long run.
 */
export function pairwiseMatrix(): Cell[] {
  if (!HAS_EVERY_NODE) return wholeMatrix().map((cell) => ({ ...cell, ways: withoutSource(cell.ways) }))
  return [
    { manager: 'npm11', line: 20, ways: ['platform'] },
    { manager: 'pnpm12', line: 20, ways: ['bundle'] },
    { manager: 'npm11', line: 20, ways: ['neither', 'path'] },
    { manager: 'npm11', line: 22, ways: ['bundle'] },
    { manager: 'npm12', line: 22, ways: ['platform'] },
    { manager: 'pnpm12', line: 22, ways: ['neither', 'path'] },
    { manager: 'npm11', line: 24, ways: ['bundle'] },
    { manager: 'npm12', line: 24, ways: ['neither', 'path'] },
    { manager: 'pnpm12', line: 24, ways: ['platform'] },
    { manager: 'npm11', line: 26, ways: ['neither', 'path'] },
    { manager: 'npm12', line: 26, ways: ['bundle'] },
    { manager: 'pnpm12', line: 26, ways: ['platform'] },
  ]
}

function withoutSource(ways: readonly Way[]): Way[] {
  return ways.filter((way) => way !== 'source')
}

/** Pairs of two dimensions that no cell covers, as text. */
export function uncoveredPairs(cells: readonly Cell[], ways: readonly Way[]): string[] {
  const has = (test: (cell: Cell) => boolean): boolean => cells.some(test)
  return [
    ...MANAGERS.flatMap((manager) =>
      linesOf(manager)
        .filter((line) => !has((cell) => cell.manager === manager && cell.line === line))
        .map((line) => `${manager} on Node ${line}`),
    ),
    ...MANAGERS.flatMap((manager) =>
      ways
        .filter((way) => !has((cell) => cell.manager === manager && cell.ways.includes(way)))
        .map((way) => `${manager}: ${way}`),
    ),
    ...LINES.flatMap((line) =>
      ways
        .filter((way) => !has((cell) => cell.line === line && cell.ways.includes(way)))
        .map((way) => `Node ${line}: ${way}`),
    ),
  ]
}
