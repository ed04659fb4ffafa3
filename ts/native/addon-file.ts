import { createHash } from 'node:crypto'
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where an addon may lie, and what has to hold before it is loaded. */
export interface AddonFile {
  /** For the list of attempts: a path, or the name of a package. */
  readonly name: string
  /** The file, or `undefined` when it is not there. */
  readonly path: string | undefined
  /** Why the file must not be loaded, or `undefined`. Called only when it is there. */
  readonly refusal: (path: string) => string | undefined
}

/** The package that carries the addons of all platforms. */
export const BUNDLE = 'espalier-prebuilds'

const ELF_MAGIC = 0x7f454c46
const ENVIRONMENT = ['ESPALIER_NATIVE_PATH', 'NAPI_RS_NATIVE_LIBRARY_PATH']
/** Both ts/native and dist/native lie two folders below the package. */
const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
const require = createRequire(import.meta.url)

/**
 * Every place, in the order of preference: named by the environment, built here, the package of this platform, the
 * bundle. What somebody named or built is theirs; a package has to be the very file that this release was packed with.
 */
export function addonFiles(): readonly AddonFile[] {
  return [
    ...ENVIRONMENT.flatMap(namedFile),
    { ...builtFile(buildPath()), refusal: cutShort },
    { ...builtFile(userBuildPath()), refusal: foreignFile },
    packagedFile(`espalier-${platform()}`, platformFile()),
    packagedFile(BUNDLE, bundleFile()),
  ]
}

/** Where `npm run build:native` and `espalier build-native` put the addon. */
export function buildPath(): string {
  return join(root, 'build', 'Release', 'espalier.node')
}

/** Where `espalier build-native` puts it when the package's own folder can't be written. */
export function userBuildPath(): string {
  return join(cacheFolder(), 'espalier', packageVersion(), platform(), 'espalier.node')
}

/** The version of this package, which its addon has to have too. */
export function packageVersion(): string {
  return versionIn(root)
}

/** What @napi-rs/cli calls this platform: `linux-x64-musl`, `darwin-arm64`, `win32-x64-msvc`. */
export function platform(): string {
  const { platform: system, arch } = process
  if (system === 'linux') return `linux-${arch}-${hasGlibc() ? 'gnu' : 'musl'}`
  return system === 'win32' ? `win32-${arch}-msvc` : `${system}-${arch}`
}

function namedFile(variable: string): AddonFile[] {
  const path = process.env[variable]
  if (path === undefined || path === '') return []
  // A name that leads nowhere is tried, so that the attempt says so in the words of the system.
  return [{ name: `${variable}=${path}`, path: resolve(path), refusal: cutShort }]
}

function builtFile(path: string): { readonly name: string; readonly path: string | undefined } {
  return { name: path, path: existsSync(path) ? path : undefined }
}

function packagedFile(name: string, inside: string): AddonFile {
  const folder = packageFolder(name)
  const path = folder === undefined ? undefined : join(folder, inside)
  return {
    name,
    path,
    refusal: (file) => {
      if (!existsSync(file)) return `it is there, but has no ${inside}`
      const version = versionIn(folder ?? '')
      if (version === packageVersion()) return unlistedFile(file)
      return `it has version ${version}, this package ${packageVersion()}`
    },
  }
}

function packageFolder(name: string): string | undefined {
  try {
    return dirname(require.resolve(`${name}/package.json`))
  } catch {
    return undefined
  }
}

function versionIn(folder: string): string {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version?: unknown }
  return String(manifest.version)
}

function platformFile(): string {
  return `espalier.${platform()}.node`
}

/** As prebuildify names it: everything but musl is tagged glibc, also on macOS and Windows. */
function bundleFile(): string {
  const { platform: system, arch } = process
  const libc = system === 'linux' && !hasGlibc() ? 'musl' : 'glibc'
  return join('prebuilds', `${system}-${arch}`, `espalier.${libc}.node`)
}

/** A package may hold only the bytes that this release was packed with: not damaged, mixed up or replaced. */
function unlistedFile(path: string): string | undefined {
  const expected = listedHash()
  if (expected === undefined) return `this package lists no addon for ${platform()}`
  const actual = createHash('sha256').update(readFileSync(path)).digest('hex')
  if (actual === expected) return undefined
  return `its SHA-256 is ${actual}, and this package lists ${expected}: it is damaged or of another release`
}

function listedHash(): string | undefined {
  const list = join(here, 'addon-hashes.json')
  if (!existsSync(list)) return undefined
  const { sha256 } = JSON.parse(readFileSync(list, 'utf8')) as { sha256?: Record<string, unknown> }
  const hash = sha256?.[platform()]
  return typeof hash === 'string' ? hash : undefined
}

/** A file in a folder of the user may be loaded only when nobody else can have put it there. */
function foreignFile(path: string): string | undefined {
  if (process.getuid === undefined) return cutShort(path)
  const { uid, mode } = statSync(path)
  if (uid !== process.getuid()) return 'it belongs to another user'
  return (mode & 0o022) === 0 ? cutShort(path) : 'others may write it'
}

/**
 * The system's loader maps the file and reads past its end when it was cut short (a full disk, a broken copy): the
 * process would die of SIGBUS. The section table stands last in an ELF file, so it tells. System V gABI, "ELF header".
 */
function cutShort(path: string): string | undefined {
  const header = Buffer.alloc(64)
  const file = openSync(path, 'r')
  try {
    const read = readSync(file, header, 0, header.length, 0)
    if (read < header.length || header.readUInt32BE(0) !== ELF_MAGIC) return undefined
    const endBytes = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60)
    const { size } = fstatSync(file)
    return size < endBytes ? `it was cut short: ${size} bytes of ${endBytes}` : undefined
  } finally {
    closeSync(file)
  }
}

function cacheFolder(): string {
  const { XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = process.env
  if (process.platform === 'win32' && local !== undefined && local !== '') return local
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches')
  return xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache')
}

let glibc: boolean | undefined

function hasGlibc(): boolean {
  return (glibc ??= readGlibc())
}

function readGlibc(): boolean {
  const report = process.report as ProcessReport | undefined
  // Other runtimes than Node.js may have none.
  if (report === undefined) return !existsSync('/etc/alpine-release')
  // A report looks up the names of all open connections unless it is told not to: that can take seconds.
  const before = report.excludeNetwork ?? false
  report.excludeNetwork = true
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: unknown } }
  report.excludeNetwork = before
  return header?.glibcVersionRuntime !== undefined
}

interface ProcessReport {
  /** Node.js 20.13 and newer. */
  excludeNetwork?: boolean
  getReport(): object
}
