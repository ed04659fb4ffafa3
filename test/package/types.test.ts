import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readmeExample } from './support/example.ts'
import { packed } from './support/packed.ts'
import { ROOT } from './support/tools.ts'

/** Every part of the package, used with its types. */
const EVERY_DOOR = `
import { createNode, EspalierError, type EspalierNode, type NodeOptions } from 'espalier'
import { hash, SigningKey } from 'espalier/crypto'
import { localNetwork, type LocalNetwork } from 'espalier/testing'

const options: NodeOptions = { dataDir: 'somewhere' }
export const node: EspalierNode = createNode(options)
export const digest: Uint8Array = hash(SigningKey.generate().publicKey)
export const network: Promise<LocalNetwork> = localNetwork(3)
export const isOurs = (thrown: unknown): boolean => thrown instanceof EspalierError && thrown.code === 'TIMEOUT'
`

/** For CommonJS under the older settings, which know no \`require\` of an ES module. */
const DYNAMIC = `
export async function main(): Promise<string> {
  const { createNode } = await import('espalier')
  const { hash } = await import('espalier/crypto')
  const digest: Uint8Array = hash(new Uint8Array(1))
  return createNode({ dataDir: String(digest.length) }).id
}
`

const { ModuleKind: Kind, ModuleResolutionKind: Resolution } = ts

let directory = ''

beforeAll(async () => {
  const ours = await packed()
  // Types are looked up from the real path of a file.
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'espalier-types-')))
  execFileSync('tar', ['-xzf', ours.core, '-C', directory])
  const modules = join(directory, 'node_modules')
  mkdirSync(join(modules, '@types'), { recursive: true })
  renameSync(join(directory, 'package'), join(modules, 'espalier'))
  for (const name of ['@types/node', 'undici-types', 'prom-client', '@opentelemetry']) {
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name), 'dir')
  }
}, 600_000)

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('the types of the package', () => {
  test.each([
    ['ES modules, node16', 'mts', Kind.Node16, Resolution.Node16],
    ['ES modules, node20', 'mts', Kind.Node20, Resolution.Node16],
    ['ES modules, nodenext', 'mts', Kind.NodeNext, Resolution.NodeNext],
    ['ES modules, bundler', 'mts', Kind.ESNext, Resolution.Bundler],
    ['CommonJS, node20', 'cts', Kind.Node20, Resolution.Node16],
    ['CommonJS, nodenext', 'cts', Kind.NodeNext, Resolution.NodeNext],
    ['CommonJS, bundler', 'cts', Kind.CommonJS, Resolution.Bundler],
  ] as const)('are found by a strict project of %s', (_, extension, module, moduleResolution) => {
    const sources = [EVERY_DOOR, ...(extension === 'mts' ? [readmeExample()] : [])]

    expect(compile(sources, { extension, module, moduleResolution })).toEqual([])
  })

  test('are found through import() by CommonJS under node16, which knows no other way', () => {
    const settings = { extension: 'cts', module: Kind.Node16, moduleResolution: Resolution.Node16 } as const

    expect(compile([DYNAMIC], settings)).toEqual([])
    // TS1479 is what a static import is refused with; docs/guide/install.md says what to do.
    expect(compile([EVERY_DOOR], settings)).toContainEqual(expect.stringContaining('TS1479'))
  })

  test('do not let a wrong use pass', () => {
    const wrong = "import { createNode } from 'espalier'\nvoid createNode({ dataDir: 7 })\n"
    const deep = "import { load } from 'espalier/dist/native/load.js'\nvoid load\n"
    const settings = {
      extension: 'mts',
      module: Kind.NodeNext,
      moduleResolution: Resolution.NodeNext,
    } as const

    expect(compile([wrong], settings)).toEqual([expect.stringContaining('TS2322')])
    expect(compile([deep], settings)).toEqual([expect.stringContaining('TS2307')])
  })
})

interface Settings {
  readonly extension: 'mts' | 'cts'
  readonly module: ts.ModuleKind
  readonly moduleResolution: ts.ModuleResolutionKind
}

/** What the compiler says about each source, with the declarations of the package checked too. */
function compile(
  sources: readonly string[],
  { extension, module, moduleResolution }: Settings,
): readonly string[] {
  const folder = mkdtempSync(join(directory, 'project-'))
  const files = sources.map((source, index) => {
    const file = join(folder, `source-${index}.${extension}`)
    writeFileSync(file, source)
    return file
  })
  const program = ts.createProgram(files, {
    target: ts.ScriptTarget.ES2022,
    types: ['node'],
    typeRoots: [join(directory, 'node_modules', '@types')],
    module,
    moduleResolution,
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
  })
  return ts.getPreEmitDiagnostics(program).map(({ code, messageText, file }) => {
    const text = ts.flattenDiagnosticMessageText(messageText, '\n').split('\n', 1)[0] ?? ''
    return `${file?.fileName ?? ''}: TS${code}: ${text}`
  })
}
