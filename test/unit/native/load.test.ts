import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../../..', import.meta.url))
const built = join(repository, 'build', 'Release', 'espalier.node')
let folder: string
/** Stands for the user's cache; one for each package that is made. */
let cache: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-load-'))
})

afterAll(() => {
  rmSync(folder, { recursive: true })
})

test('without an addon the error lists every attempt, in order, and what to do', () => {
  const home = makePackage()

  const { code, attempts, message } = load(home, {
    ESPALIER_NATIVE_PATH: '/absent/one.node',
    NAPI_RS_NATIVE_LIBRARY_PATH: '/absent/two.node',
  })

  expect(code).toBe('NATIVE_UNAVAILABLE')
  expect(attempts.map((attempt) => attempt.split(':')[0])).toEqual([
    'ESPALIER_NATIVE_PATH=/absent/one.node',
    'NAPI_RS_NATIVE_LIBRARY_PATH=/absent/two.node',
    join(home, 'build', 'Release', 'espalier.node'),
    userBuild(),
    platformPackage(),
    'espalier-prebuilds',
  ])
  expect(attempts.slice(2).map((attempt) => attempt.split(': ')[1])).toEqual(Array(4).fill('not there'))
  for (const remedy of ['--include=optional', 'espalier-prebuilds@0.1.0', 'espalier build-native']) {
    expect(message).toContain(remedy)
  }
})

test('a named file comes before a local build, and that before a build of the user', () => {
  const home = makePackage()
  install(userBuild(), built)
  expect(load(home).path).toBe(userBuild())

  const local = join(home, 'build', 'Release', 'espalier.node')
  install(local, built)
  expect(load(home).path).toBe(local)

  const named = join(home, 'named.node')
  install(named, built)
  for (const variable of ['ESPALIER_NATIVE_PATH', 'NAPI_RS_NATIVE_LIBRARY_PATH']) {
    expect(load(home, { [variable]: named }).path, variable).toBe(named)
    expect(load(home, { [variable]: relative(process.cwd(), named) }).path, variable).toBe(named)
  }
})

test('the platform package is found in node_modules, and comes before the bundle', () => {
  const home = makePackage({ listed: built })
  const bundled = addBundle(home)
  expect(load(home).path).toBe(bundled)

  const packaged = addPlatformPackage(home)
  expect(load(home).path).toBe(packaged)
})

test('a package may hold only the bytes that this release lists', () => {
  for (const add of [addPlatformPackage, addBundle]) {
    const home = makePackage({ listed: built })
    const path = add(home)
    const bytes = readFileSync(path)
    // One bit, in a place that the system's loader never looks at.
    const last = bytes.length - 1
    bytes[last] = (bytes[last] ?? 0) ^ 1
    writeFileSync(path, bytes)

    const { code, attempts } = load(home)

    expect(code).toBe('NATIVE_UNAVAILABLE')
    expect(attempts.filter((attempt) => /SHA-256/.test(attempt))).toHaveLength(1)
    // The same bytes load when the user names them: the list is about packages.
    expect(load(home, { ESPALIER_NATIVE_PATH: path }).path).toBe(path)
  }
})

test('a release that lists no addon of this platform loads none from packages', () => {
  const home = makePackage()
  addPlatformPackage(home)
  addBundle(home)

  const { code, attempts } = load(home)

  expect(code).toBe('NATIVE_UNAVAILABLE')
  expect(attempts.filter((attempt) => /lists no addon/.test(attempt))).toHaveLength(2)
})

test('a package of another version is refused with both versions before its file is read', () => {
  for (const add of [addPlatformPackage, addBundle]) {
    const home = makePackage({ listed: built })
    add(home, { version: '0.0.9' })

    const { code, attempts } = load(home)

    expect(code).toBe('NATIVE_UNAVAILABLE')
    expect(attempts.filter((attempt) => /0\.0\.9.*0\.1\.0/.test(attempt))).toHaveLength(1)
  }
})

test('a package of another libc is an attempt that says what it lacks', () => {
  const home = makePackage({ listed: built })
  const path = addPlatformPackage(home)
  renameSync(path, path.replace(/(gnu|musl)\.node$/, 'other.node'))
  const bundled = addBundle(home)
  renameSync(bundled, bundled.replace(/(glibc|musl)\.node$/, 'other.node'))

  const { code, attempts } = load(home)

  expect(code).toBe('NATIVE_UNAVAILABLE')
  expect(attempts.filter((attempt) => /it is there, but has no/.test(attempt))).toHaveLength(2)
})

test('an addon of another version is refused with both versions, and the search goes on', () => {
  const home = makePackage({ version: '9.9.9' })

  const { code, attempts } = load(home, { ESPALIER_NATIVE_PATH: built })

  expect(code).toBe('NATIVE_UNAVAILABLE')
  expect(attempts[0]).toContain('0.1.0')
  expect(attempts[0]).toContain('9.9.9')
  expect(attempts).toHaveLength(5)
})

test('a damaged file is an attempt, not a crash, and the search goes on', () => {
  const home = makePackage({ listed: built })
  const bad = join(home, 'bad.node')
  const packaged = addPlatformPackage(home)
  for (const content of [
    Buffer.from('not a library'),
    Buffer.alloc(0),
    readFileSync(built).subarray(0, 4096),
  ]) {
    writeFileSync(bad, content)

    const { path } = load(home, { ESPALIER_NATIVE_PATH: bad })

    expect(path).toBe(packaged)
  }
})

test('a build in the folder of the user is left alone when others may have put it there', () => {
  const home = makePackage()
  install(userBuild(), built)
  chmodSync(userBuild(), 0o777)

  const { code, attempts } = load(home)

  expect(code).toBe('NATIVE_UNAVAILABLE')
  expect(attempts.join('\n')).toContain('others may write it')
})

test('a runtime without reports finds the addon all the same', () => {
  const home = makePackage({ listed: built })
  const packaged = addPlatformPackage(home)

  expect(
    load(home, {}, { setup: "Object.defineProperty(process, 'report', { value: undefined })" }).path,
  ).toBe(packaged)
})

test('a runtime of an older Node-API is refused before any file is opened', () => {
  const home = makePackage()
  const named = join(home, 'named.node')
  install(named, built)

  const { code, attempts, message } = load(home, { ESPALIER_NATIVE_PATH: named }, { setup: nodeApi(8) })

  expect(code).toBe('NATIVE_UNAVAILABLE')
  expect(attempts).toEqual([])
  expect(message).toContain('Node-API 8')
  expect(load(home, { ESPALIER_NATIVE_PATH: named }, { setup: nodeApi(9) }).path).toBe(named)
})

/** A package with only the loader in it, compiled as `npm run build:ts` compiles it. */
function makePackage(options: { readonly version?: string; readonly listed?: string } = {}): string {
  const home = mkdtempSync(join(folder, 'package-'))
  cache = join(home, 'cache')
  const { version = '0.1.0', listed } = options
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name: 'espalier', version, type: 'module' }))
  for (const file of ['native/load.ts', 'native/addon-file.ts', 'base/error.ts']) {
    const target = join(home, 'dist', file.replace(/\.ts$/, '.js'))
    mkdirSync(join(target, '..'), { recursive: true })
    const source = ts.sys.readFile(join(repository, 'ts', file)) ?? ''
    const compilerOptions = {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true,
    }
    writeFileSync(target, ts.transpileModule(source, { compilerOptions }).outputText)
  }
  if (listed !== undefined) {
    const sha256 = { [platform()]: createHash('sha256').update(readFileSync(listed)).digest('hex') }
    writeFileSync(join(home, 'dist', 'native', 'addon-hashes.json'), JSON.stringify({ sha256 }))
  }
  return home
}

function addPlatformPackage(home: string, { version = '0.1.0' } = {}): string {
  return addPackage(home, { name: platformPackage(), version, file: `espalier.${platform()}.node` })
}

function addBundle(home: string, { version = '0.1.0' } = {}): string {
  const libc = platform().endsWith('musl') ? 'musl' : 'glibc'
  const file = join('prebuilds', `${process.platform}-${process.arch}`, `espalier.${libc}.node`)
  return addPackage(home, { name: 'espalier-prebuilds', version, file })
}

function addPackage(home: string, options: { name: string; version: string; file: string }): string {
  const target = join(home, 'node_modules', options.name)
  install(join(target, options.file), built)
  const { name, version } = options
  writeFileSync(join(target, 'package.json'), JSON.stringify({ name, version }))
  return join(target, options.file)
}

function install(path: string, source: string): void {
  mkdirSync(join(path, '..'), { recursive: true })
  copyFileSync(source, path)
}

interface Outcome {
  readonly code: string
  readonly attempts: readonly string[]
  readonly message: string
  /** The file that was loaded. */
  readonly path: string | undefined
}

function load(home: string, env: Record<string, string> = {}, { setup = '' } = {}): Outcome {
  const program = `
    import { createRequire } from 'node:module'
    const { cache } = createRequire(import.meta.url)
    ${setup}
    const { addon } = await import(${JSON.stringify(join(home, 'dist', 'native', 'load.js'))})
    try {
      const loaded = addon()
      const path = Object.keys(cache).find((file) => cache[file].exports === loaded)
      console.log(JSON.stringify({ code: 'loaded', attempts: [], message: '', path }))
    } catch (error) {
      const { code, details, message } = error
      console.log(JSON.stringify({ code, attempts: details?.attempts ?? [], message }))
    }`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    // An empty value counts as none, whatever the environment of the test run names.
    env: {
      ...process.env,
      ESPALIER_NATIVE_PATH: '',
      NAPI_RS_NATIVE_LIBRARY_PATH: '',
      XDG_CACHE_HOME: cache,
      LOCALAPPDATA: cache,
      HOME: cache,
      ...env,
    },
    encoding: 'utf8',
  })
  return JSON.parse(child.stdout) as Outcome
}

/** A line of a program that makes the runtime say it has another Node-API. */
function nodeApi(version: number): string {
  return `Object.defineProperty(process, 'versions', { value: { ...process.versions, napi: '${version}' } })`
}

/** Where a build lies that could not be put into the package; the version of the last package that was made. */
function userBuild(version = '0.1.0'): string {
  const base = process.platform === 'darwin' ? join(cache, 'Library', 'Caches') : cache
  return join(base, 'espalier', version, platform(), 'espalier.node')
}

function platformPackage(): string {
  return `espalier-${platform()}`
}

function platform(): string {
  const { platform: system, arch } = process
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  const libc = report.header?.glibcVersionRuntime === undefined ? 'musl' : 'gnu'
  if (system === 'win32') return `win32-${arch}-msvc`
  return system === 'linux' ? `linux-${arch}-${libc}` : `${system}-${arch}`
}
