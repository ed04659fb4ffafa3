import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../../..', import.meta.url))
const built = join(repository, 'build', 'Release', 'espalier.node')
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-load-'))
})

afterAll(() => {
  rmSync(folder, { recursive: true })
})

test('without an addon the error lists every attempt, in order', () => {
  const home = makePackage('0.1.0')

  const { code, attempts } = load(home, {
    ESPALIER_NATIVE_PATH: '/absent/one.node',
    NAPI_RS_NATIVE_LIBRARY_PATH: '/absent/two.node',
  })

  expect(code).toBe('NATIVE_UNAVAILABLE')
  expect(attempts.map((attempt) => attempt.split(':')[0])).toEqual([
    'ESPALIER_NATIVE_PATH=/absent/one.node',
    'NAPI_RS_NATIVE_LIBRARY_PATH=/absent/two.node',
    join(home, 'build', 'Release', 'espalier.node'),
    expect.stringMatching(/^espalier-(linux|darwin|win32)-/),
    'espalier-prebuilds',
  ])
})

test('a local build is found, and so is a named file', () => {
  const home = makePackage('0.1.0')
  expect(load(home, { ESPALIER_NATIVE_PATH: built }).code).toBe('loaded')

  mkdirSync(join(home, 'build', 'Release'), { recursive: true })
  copyFileSync(built, join(home, 'build', 'Release', 'espalier.node'))
  expect(load(home).code).toBe('loaded')
})

test('the platform package and the bundle are found in node_modules', () => {
  for (const name of [platformPackage(), 'espalier-prebuilds']) {
    const home = makePackage('0.1.0')
    const target = join(home, 'node_modules', name)
    mkdirSync(target, { recursive: true })
    copyFileSync(built, join(target, 'espalier.node'))
    writeFileSync(
      join(target, 'package.json'),
      JSON.stringify({ name, version: '0.1.0', main: 'espalier.node' }),
    )
    expect(load(home).code, name).toBe('loaded')
  }
})

test('an addon of another version is refused with both versions, and the search goes on', () => {
  const home = makePackage('9.9.9')

  const { code, attempts } = load(home, { ESPALIER_NATIVE_PATH: built })

  expect(code).toBe('NATIVE_UNAVAILABLE')
  expect(attempts[0]).toContain('0.1.0')
  expect(attempts[0]).toContain('9.9.9')
  expect(attempts).toHaveLength(4)
})

test('a file that is no addon is an attempt, not a crash', () => {
  const home = makePackage('0.1.0')
  const bad = join(home, 'bad.node')
  writeFileSync(bad, 'not a library')

  const { code, attempts } = load(home, { ESPALIER_NATIVE_PATH: bad })

  expect(code).toBe('NATIVE_UNAVAILABLE')
  expect(attempts[0]).toContain(bad)
})

/** A package with only the loader in it, compiled as `npm run build:ts` compiles it. */
function makePackage(version: string): string {
  const home = mkdtempSync(join(folder, 'package-'))
  writeFileSync(join(home, 'package.json'), JSON.stringify({ name: 'espalier', version, type: 'module' }))
  for (const file of ['native/load.ts', 'base/error.ts']) {
    const target = join(home, 'dist', file.replace(/\.ts$/, '.js'))
    mkdirSync(join(target, '..'), { recursive: true })
    const source = ts.sys.readFile(join(repository, 'ts', file)) ?? ''
    const options = {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
    }
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { ...options, rewriteRelativeImportExtensions: true },
    })
    writeFileSync(target, outputText)
  }
  return home
}

function load(home: string, env: Record<string, string> = {}): { code: string; attempts: string[] } {
  const program = `
    import { addon } from ${JSON.stringify(join(home, 'dist', 'native', 'load.js'))}
    try { addon(); console.log(JSON.stringify({ code: 'loaded', attempts: [] })) }
    catch (error) { console.log(JSON.stringify({ code: error.code, attempts: error.details?.attempts ?? [String(error)] })) }`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    // An empty value counts as none, whatever the environment of the test run names.
    env: { ...process.env, ESPALIER_NATIVE_PATH: '', NAPI_RS_NATIVE_LIBRARY_PATH: '', ...env },
    encoding: 'utf8',
  })
  return JSON.parse(child.stdout) as { code: string; attempts: string[] }
}

function platformPackage(): string {
  const { platform, arch } = process
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  const libc = report.header?.glibcVersionRuntime === undefined ? 'musl' : 'gnu'
  return platform === 'linux' ? `espalier-linux-${arch}-${libc}` : `espalier-${platform}-${arch}`
}
