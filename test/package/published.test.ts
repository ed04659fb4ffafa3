import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, posix } from 'node:path'
import { publint } from 'publint'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Packed, packed } from './support/packed.ts'
import { filesIn, type Manifest, manifestOf } from './support/tarball.ts'
import { ROOT } from './support/tools.ts'

/** What package managers run when somebody installs a package. */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall', 'prepare']
/** What may be in the core beside dist and crates. */
const CORE_FILES = [
  'Cargo.lock',
  'Cargo.toml',
  'LICENSE-APACHE',
  'LICENSE-MIT',
  'README.md',
  'package.json',
  'scripts/build-native.mjs',
  'scripts/cargo-build.mjs',
  'scripts/targets.mjs',
  'scripts/toolchain.mjs',
]

let directory = ''
let ours: Packed
let core: readonly string[] = []
/** The core as it lies in node_modules. */
let home = ''

beforeAll(async () => {
  ours = await packed()
  directory = mkdtempSync(join(tmpdir(), 'espalier-published-'))
  execFileSync('tar', ['-xzf', ours.core, '-C', directory])
  home = join(directory, 'package')
  core = filesIn(ours.core)
}, 600_000)

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('each tarball', () => {
  test.each(['core', 'platform', 'bundle'] as const)('of the %s satisfies publint', async (which) => {
    const tarball = readFileSync(ours[which])

    const { messages } = await publint({ pack: { tarball: new Uint8Array(tarball).buffer }, strict: true })

    expect(messages).toEqual([])
  })

  test.each(['core', 'platform', 'bundle'] as const)(
    'of the %s runs nothing when it is installed',
    (which) => {
      const manifest: Manifest & { readonly gypfile?: unknown } = manifestOf(ours[which])
      const files = filesIn(ours[which])

      expect(INSTALL_SCRIPTS.filter((name) => manifest.scripts?.[name] !== undefined)).toEqual([])
      expect(manifest.gypfile).toBeUndefined()
      // npm takes a binding.gyp for the script `node-gyp rebuild`.
      expect(files.filter((name) => name.endsWith('binding.gyp'))).toEqual([])
    },
  )

  test('carries the version of the core and both licences', () => {
    const { version } = manifestOf(ours.core)

    for (const which of ['core', 'platform', 'bundle'] as const) {
      expect(manifestOf(ours[which]).version).toBe(version)
      expect(filesIn(ours[which])).toEqual(expect.arrayContaining(['LICENSE-APACHE', 'LICENSE-MIT']))
    }
  })
})

describe('the core', () => {
  test('satisfies are-the-types-wrong, but for what every supported Node can do by now', () => {
    // "CJS resolves to ESM" was an error before Node 20.19: the install test requires the package on each Node.
    const attw = join(ROOT, 'node_modules', '.bin', 'attw')
    const done = spawnSync(attw, [ours.core, '--format', 'json', '--ignore-rules', 'cjs-resolves-to-esm'], {
      encoding: 'utf8',
      shell: process.platform === 'win32',
    })

    expect(done.status, done.stdout + done.stderr).toBe(0)
    const { problems } = JSON.parse(done.stdout) as {
      problems: Readonly<Record<string, readonly { readonly kind: string }[]>>
    }
    expect(Object.keys(problems).filter((kind) => kind !== 'CJSResolvesToESM')).toEqual([])
  })

  test('has what each TypeScript source compiles to, and nothing else in dist', () => {
    const expected = sourcesBelow('ts').flatMap((path) => {
      const stem = path.replace(/^ts\//, 'dist/').replace(/\.ts$/, '')
      return [`${stem}.js`, `${stem}.d.ts`]
    })
    const packedDist = core.filter((path) => path.startsWith('dist/'))

    expect(packedDist).toEqual([...expected, 'dist/native/addon-hashes.json'].sort())
  })

  test('has the Rust sources and manifests of every crate, what builds them, and no tests', () => {
    const rust = sourcesBelow('crates').filter((path) => !/^crates\/[^/]+\/(tests|target)\//.test(path))
    const packedRust = core.filter((path) => path.startsWith('crates/'))
    const others = core.filter((path) => !/^(dist|crates)\//.test(path))

    expect(packedRust).toEqual(rust.sort())
    expect(others).toEqual([...CORE_FILES].sort())
  })

  test('imports only files that it has and packages that it names', () => {
    const { dependencies = {} } = manifestOf(ours.core)
    const imports = scripts().flatMap((path) => importsOf(path).map((name) => ({ path, name })))
    const missing = imports.filter(({ path, name }) =>
      name.startsWith('.')
        ? !existsSync(join(home, posix.join(posix.dirname(path), name)))
        : !name.startsWith('node:') && !Object.hasOwn(dependencies, name),
    )

    expect(imports.length).toBeGreaterThan(300)
    expect(missing).toEqual([])
  })

  test('awaits nothing at the top of a module, so that CommonJS can require it', () => {
    // A program may: it is never required.
    const programs = ['dist/cli/main.js']
    const awaiting = scripts().filter((path) => !programs.includes(path) && awaitsAtTop(parse(path)))

    expect(awaiting).toEqual([])
  })

  test('has no map and no declaration that names a file of this machine', () => {
    const maps = core.filter((path) => path.endsWith('.map'))
    const texts = core.filter((path) => /\.(js|d\.ts|json|toml|mjs)$/.test(path))
    const leaking = texts.filter((path) => readFileSync(join(home, path), 'utf8').includes(dirname(ROOT)))

    expect(maps).toEqual([])
    expect(leaking).toEqual([])
  })
})

test('the detector of top-level await sees what Node refuses to require', () => {
  const awaits = (text: string): boolean =>
    awaitsAtTop(ts.createSourceFile('x.js', text, ts.ScriptTarget.Latest, true))

  expect(awaits('await 1')).toBe(true)
  expect(awaits('if (a) { for await (const b of c) d() }')).toBe(true)
  expect(awaits('const a = { b: await c }')).toBe(true)
  expect(awaits('async function a() { await b; for await (const c of d) e() }')).toBe(false)
  expect(awaits('class A { async b() { await c } }\nconst d = async () => await e')).toBe(false)
})

function awaitsAtTop(node: ts.Node): boolean {
  if (ts.isFunctionLike(node)) return false
  if (ts.isAwaitExpression(node)) return true
  if (ts.isForOfStatement(node) && node.awaitModifier !== undefined) return true
  return ts.forEachChild(node, (child) => (awaitsAtTop(child) ? true : undefined)) ?? false
}

function scripts(): string[] {
  return core.filter((path) => path.endsWith('.js'))
}

function parse(path: string): ts.SourceFile {
  return ts.createSourceFile(path, readFileSync(join(home, path), 'utf8'), ts.ScriptTarget.Latest, true)
}

/** What a module imports or re-exports, the name of a package without its subpath. */
function importsOf(path: string): string[] {
  return parse(path).statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return []
    const { moduleSpecifier } = statement
    return moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier) ? [moduleSpecifier.text] : []
  })
}

/** Paths below a folder of the repository, as a tarball writes them. */
function sourcesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => posix.join(entry.parentPath.slice(ROOT.length).replaceAll('\\', '/'), entry.name))
}
