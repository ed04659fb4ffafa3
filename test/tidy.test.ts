import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

/** docs/ARCHITECTURE.md §2: a folder imports from lower layers only. */
const LAYERS: Readonly<Record<string, number>> = {
  base: 0,
  native: 1,
  net: 1,
  storage: 1,
  dht: 2,
  placement: 2,
  objects: 3,
  sim: 4,
  metrics: 5,
  node: 5,
  cli: 6,
}

/** Within a layer, imports go along these arrows only. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  net: ['native'],
  storage: ['native'],
  node: ['metrics'],
}

/** Feature folders hold machines, which decide, and these doors, which act. */
const FEATURES = ['dht', 'placement', 'objects']
const DOORS: readonly string[] = [
  'ts/dht/calls.ts',
  'ts/dht/contacts.ts',
  'ts/dht/dht.ts',
  'ts/dht/drive.ts',
  'ts/dht/flights.ts',
  'ts/dht/handover.ts',
  'ts/dht/history-shelf.ts',
  'ts/dht/locator.ts',
  'ts/dht/lookup-watch.ts',
  'ts/dht/pace.ts',
  'ts/dht/provider-fetcher.ts',
  'ts/dht/provider-ledger.ts',
  'ts/dht/provider-publisher.ts',
  'ts/dht/provider-reader.ts',
  'ts/dht/provider-search.ts',
  'ts/dht/provider-server.ts',
  'ts/dht/provider-shelf.ts',
  'ts/dht/providers.ts',
  'ts/dht/public-keys.ts',
  'ts/dht/publisher.ts',
  'ts/dht/record-shelf.ts',
  'ts/dht/register-history.ts',
  'ts/dht/register-pusher.ts',
  'ts/dht/register-server.ts',
  'ts/dht/register-subscription.ts',
  'ts/dht/register-watch.ts',
  'ts/dht/register-watcher.ts',
  'ts/dht/registers.ts',
  'ts/dht/repeat.ts',
  'ts/dht/search.ts',
  'ts/dht/server.ts',
  'ts/dht/turns.ts',
  'ts/dht/upkeep.ts',
  'ts/objects/byte-budget.ts',
  'ts/objects/file-target.ts',
  'ts/objects/frame-stream.ts',
  'ts/objects/get.ts',
  'ts/objects/holder.ts',
  'ts/objects/links.ts',
  'ts/objects/objects.ts',
  'ts/objects/operation.ts',
  'ts/objects/pipeline.ts',
  'ts/objects/put.ts',
  'ts/objects/read-segment.ts',
  'ts/objects/source.ts',
  'ts/objects/transfers.ts',
]

/** Public entry points: re-exports only. `sim` may be imported by one of them. */
const PUBLIC = ['index.ts', 'crypto.ts', 'testing.ts']

const MAX_LINES = { ts: 400, rs: 600 }

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const sources = filesBelow(join(root, 'ts'), '.ts')
const imports = new Map(sources.map((file) => [file, importsOf(file)]))

describe('the house', () => {
  test('every folder below ts has a layer', () => {
    const folders = new Set(sources.map(folderOf).filter((folder) => folder !== ''))

    expect([...folders].filter((folder) => LAYERS[folder] === undefined)).toEqual([])
  })

  test('a folder imports from lower layers, and beside itself only along the arrows', () => {
    const wrong = edges().filter(([from, to]) => !isAllowed(folderOf(from), folderOf(to)))

    expect(wrong.map(describeEdge)).toEqual([])
  })

  test('no import cycles, type imports included', () => {
    expect(findCycle()).toEqual([])
  })

  test('no folder has an inner index file', () => {
    const inner = sources.filter((file) => file.endsWith(`${sep}index.ts`) && folderOf(file) !== '')

    expect(inner.map(short)).toEqual([])
  })

  test('the public doors only re-export', () => {
    const busy = PUBLIC.map((name) => join(root, 'ts', name))
      .filter((file) => sources.includes(file))
      .filter((file) => !parse(file).statements.every(ts.isExportDeclaration))

    expect(busy.map(short)).toEqual([])
  })

  test('files stay small', () => {
    const rust = filesBelow(join(root, 'crates'), '.rs')
    const long = [...sources, ...filesBelow(join(root, 'test'), '.ts'), ...rust].filter((file) => {
      const limit = file.endsWith('.rs') ? MAX_LINES.rs : MAX_LINES.ts
      return readFileSync(file, 'utf8').split('\n').length - 1 > limit
    })

    expect(long.map(short)).toEqual([])
  })

  test('file names are kebab-case', () => {
    const odd = sources.filter(
      (file) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.d)?\.ts$/.test(file.split(sep).at(-1) ?? ''),
    )

    expect(odd.map(short)).toEqual([])
  })
})

describe('the code', () => {
  test('a machine knows no clock, no randomness, no I/O and no promise', () => {
    const machines = sources.filter(
      (file) => FEATURES.includes(folderOf(file)) && !DOORS.includes(short(file)),
    )
    const forbidden = machines.flatMap((file) => forbiddenIn(file).map((what) => `${short(file)}: ${what}`))

    expect(forbidden).toEqual([])
  })

  test('every door in the list exists', () => {
    expect(DOORS.filter((door) => !sources.some((file) => short(file) === door))).toEqual([])
  })

  test('only base reads the host clock and the host randomness', () => {
    const guilty = sources
      .filter((file) => ['net', 'sim', 'dht', 'placement', 'objects'].includes(folderOf(file)))
      .filter((file) => /\bDate\.now\(|\bMath\.random\(|\bperformance\.now\(/.test(withoutComments(file)))

    expect(guilty.map(short)).toEqual([])
  })

  test('no type is any and nothing is exported by default', () => {
    const guilty = sources.filter((file) =>
      nodesOf(file).some((node) => node.kind === ts.SyntaxKind.AnyKeyword || ts.isExportAssignment(node)),
    )

    expect(guilty.map(short)).toEqual([])
  })

  test('only the binding names napi, and only the tls module names rustls', () => {
    const rust = filesBelow(join(root, 'crates'), '.rs')
    const napi = rust.filter(
      (file) => !short(file).startsWith('crates/binding/') && /\bnapi(_derive)?::/.test(read(file)),
    )
    const rustls = rust.filter(
      (file) => !/tls/.test(file) && !short(file).includes('/tests/') && /\brustls::/.test(read(file)),
    )

    expect([...napi, ...rustls].map(short)).toEqual([])
  })
})

function isAllowed(from: string, to: string): boolean {
  if (from === to) return true
  if (from === '') return true
  const fromLayer = LAYERS[from] ?? -1
  const toLayer = LAYERS[to] ?? Infinity
  // Simulation is for tests and for the public door `testing`, whatever its layer.
  if (to === 'sim') return false
  return toLayer < fromLayer || (toLayer === fromLayer && (ARROWS[from] ?? []).includes(to))
}

function forbiddenIn(file: string): string[] {
  const found = new Set<string>()
  walk(parse(file), (node) => {
    if (node.kind === ts.SyntaxKind.AsyncKeyword || ts.isAwaitExpression(node)) found.add('async')
    if (ts.isIdentifier(node) && /^(setTimeout|setInterval|setImmediate|queueMicrotask)$/.test(node.text))
      found.add(node.text)
    if (
      ts.isPropertyAccessExpression(node) &&
      /^(Date\.now|Math\.random|performance\.now)$/.test(node.getText())
    ) {
      found.add(node.getText())
    }
    if (
      ts.isImportDeclaration(node) &&
      /^node:(?!util$)/.test((node.moduleSpecifier as ts.StringLiteral).text)
    ) {
      found.add((node.moduleSpecifier as ts.StringLiteral).text)
    }
  })
  return [...found]
}

function edges(): [string, string][] {
  return [...imports].flatMap(([from, targets]) => targets.map((to): [string, string] => [from, to]))
}

/** One cycle as a list of files, or nothing. Depth-first with three colours. */
function findCycle(): string[] {
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file].map(short)
    if (done.has(file)) return []
    path.push(file)
    for (const next of imports.get(file) ?? []) {
      const cycle = visit(next)
      if (cycle.length > 0) return cycle
    }
    path.pop()
    done.add(file)
    return []
  }
  for (const file of sources) {
    const cycle = visit(file)
    if (cycle.length > 0) return cycle
  }
  return []
}

function importsOf(file: string): string[] {
  const targets: string[] = []
  walk(parse(file), (node) => {
    const specifier =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : undefined
    if (specifier !== undefined && ts.isStringLiteral(specifier) && specifier.text.startsWith('.')) {
      targets.push(join(dirname(file), specifier.text))
    }
  })
  return targets
}

function nodesOf(file: string): ts.Node[] {
  const nodes: ts.Node[] = []
  walk(parse(file), (node) => nodes.push(node))
  return nodes
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node)
  ts.forEachChild(node, (child) => walk(child, visit))
}

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, read(file), ts.ScriptTarget.ESNext, true)
}

function withoutComments(file: string): string {
  return read(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
}

function read(file: string): string {
  return readFileSync(file, 'utf8')
}

function folderOf(file: string): string {
  const [first, ...rest] = relative(join(root, 'ts'), file).split(sep)
  return rest.length === 0 ? '' : (first ?? '')
}

function short(file: string): string {
  return relative(root, file).split(sep).join('/')
}

function describeEdge([from, to]: readonly [string, string]): string {
  return `${short(from)} → ${short(to)}`
}

function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    if (statSync(path).isDirectory())
      return name === 'node_modules' || name === 'target' ? [] : filesBelow(path, ending)
    return name.endsWith(ending) ? [path] : []
  })
}
