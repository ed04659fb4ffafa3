import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Manifest } from './tarball.ts'
import { ROOT, WORKSHOP } from './tools.ts'

/** Our own tarballs, as `npm run pack:all` makes them for this machine. */
export interface Packed {
  /** The package that users name: JavaScript, types, sources. */
  readonly core: string
  /** The addon for this machine. */
  readonly platform: string
  /** All addons in one package. */
  readonly bundle: string
  /** The packages of other platforms, which the core names too and a registry would list. */
  readonly absent: readonly Manifest[]
}

const PACKAGES = join(ROOT, 'build', 'packages')
const REPORT = join(PACKAGES, 'packages.json')
/** What the tarballs are made from. */
const INPUTS = [
  'dist',
  'crates',
  'npm',
  'scripts',
  'package.json',
  'README.md',
  'build/Release/espalier.node',
]

/** Packs when something is newer than the last tarballs. Test files run side by side: one packs, the others wait. */
export async function packed(): Promise<Packed> {
  mkdirSync(WORKSHOP, { recursive: true })
  const lock = join(WORKSHOP, 'packing')
  while (!claim(lock)) await delay(200)
  try {
    if (!isFresh()) {
      execFileSync(process.execPath, [join(ROOT, 'scripts', 'pack-all.mjs')], {
        cwd: ROOT,
        stdio: ['ignore', 'ignore', 'inherit'],
      })
    }
    return described()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function described(): Packed {
  const report = JSON.parse(readFileSync(REPORT, 'utf8')) as {
    readonly packages: readonly { readonly name: string; readonly tarball: string }[]
  }
  const files = new Map(report.packages.map(({ name, tarball }) => [name, join(PACKAGES, tarball)]))
  const platforms = platformManifests()
  return {
    core: asReleased(need(files, 'espalier'), platforms),
    platform: need(files, `espalier-${platformName()}`),
    bundle: need(files, 'espalier-prebuilds'),
    absent: platforms.filter(({ name }) => !files.has(name)),
  }
}

/**
 * A core that is packed for one machine names the addon of that machine only, a release those of all platforms: the
 * same tarball with that list.
 */
function asReleased(core: string, platforms: readonly Manifest[]): string {
  const folder = join(WORKSHOP, 'released')
  const file = join(folder, basename(core))
  if (changedAtMs(file) > changedAtMs(core)) return file
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  execFileSync('tar', ['-xzf', core, '-C', folder])
  const path = join(folder, 'package', 'package.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as Manifest
  const optionalDependencies = Object.fromEntries(platforms.map(({ name, version }) => [name, version]))
  writeFileSync(path, JSON.stringify({ ...manifest, optionalDependencies }, null, 2))
  execFileSync('tar', ['-czf', file, '-C', folder, 'package'])
  return file
}

/** The platform packages of a release. */
function platformManifests(): Manifest[] {
  const folder = join(ROOT, 'npm')
  return readdirSync(folder)
    .filter((name) => name !== 'prebuilds')
    .map((name) => JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')) as Manifest)
}

/** The name of this machine's platform package without its prefix. */
export function platformName(): string {
  const { platform, arch } = process
  if (platform === 'win32') return `win32-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  return `linux-${arch}-${header.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}`
}

function isFresh(): boolean {
  const madeAtMs = changedAtMs(REPORT)
  return madeAtMs > 0 && INPUTS.every((path) => newestBelow(join(ROOT, path)) <= madeAtMs)
}

function newestBelow(path: string): number {
  if (!existsSync(path)) return 0
  if (!statSync(path).isDirectory()) return changedAtMs(path)
  return readdirSync(path).reduce((newest, name) => Math.max(newest, newestBelow(join(path, name))), 0)
}

function changedAtMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** True for whoever made the directory; one that is an hour old was left behind by a killed run. */
function claim(lock: string): boolean {
  try {
    mkdirSync(lock)
    return true
  } catch {
    if (Date.now() - changedAtMs(lock) > 3_600_000) rmSync(lock, { recursive: true, force: true })
    return false
  }
}

function need(files: ReadonlyMap<string, string>, name: string): string {
  const file = files.get(name)
  if (file === undefined) throw new Error(`npm run pack:all made no ${name}`)
  return file
}
