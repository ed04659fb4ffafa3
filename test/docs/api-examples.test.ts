import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runProgram } from '../e2e/support/child.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** What a reader looks up first, and what therefore has to have an example. */
const WANTED = [
  'createNode',
  'EspalierNode.put',
  'EspalierNode.lookup',
  'NodeProviders.announce',
  'NodeRegisters.history',
  'NodeRegisters.watch',
  'Objects.put',
  'Objects.get',
  'Objects.getBytes',
  'Identity',
  'EspalierError',
  'parsePeerAddress',
  'hash',
  'createHasher',
  'deriveKey',
  'SigningKey',
  'verifyMany',
  'DecapsulationKey',
  'seal',
  'outboard',
  'ErasureCoder',
  'localNetwork',
  'simulatedNetwork',
  'World',
]

interface Example {
  /** `createNode`, `Objects.put`. */
  readonly name: string
  readonly source: string
  /** What stands behind each `console.log`. */
  readonly prints: readonly string[]
}

const examples = readdirSync(join(ROOT, 'ts'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .flatMap((path) => examplesIn(join(ROOT, 'ts', path)))

let directory = ''

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-api-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('the examples of the API documentation', () => {
  test('are there for the main functions, and each says what it prints', () => {
    expect(examples.map(({ name }) => name).toSorted()).toEqual(WANTED.toSorted())
    expect(examples.filter(({ prints }) => prints.length === 0)).toEqual([])
  })

  test('stand on pages that are sorted: every public name has a category', () => {
    expect(uncategorized()).toEqual([])
  })

  test('are right by their types', () => {
    expect(typeErrors()).toEqual([])
  })

  test.each(examples.map((example): [string, Example] => [example.name, example]))(
    '%s runs and prints what it says',
    async (_, { source, prints }) => {
      const cwd = mkdtempSync(join(directory, 'run-'))

      const ending = await runProgram(toJavaScript(source), { cwd })

      expect(ending, ending.stderr).toMatchObject({ code: 0, signal: null, stderr: '' })
      expect(ending.stdout).toBe(prints.map((line) => `${line}\n`).join(''))
      expect(ending.sinceLastLineMs).toBeLessThan(2000)
    },
  )
})

function examplesIn(path: string): Example[] {
  const file = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true)
  const found: Example[] = []
  const visit = (node: ts.Node): void => {
    for (const tag of ts.getJSDocTags(node)) {
      if (tag.tagName.text !== 'example' || tag.parent.parent !== node) continue
      const comment = ts.getTextOfJSDocComment(tag.comment) ?? ''
      const source = /^```ts\n([\s\S]*?)^```$/m.exec(comment)?.[1]
      if (source === undefined) throw new Error(`${path}: an example without code`)
      const prints = [...source.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, line = '']) => line)
      if (prints.length !== source.split('console.log(').length - 1) {
        throw new Error(`${path}: a line of an example prints and does not say what`)
      }
      found.push({ name: nameOf(node), source, prints })
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

function nameOf(node: ts.Node): string {
  const name = (node as ts.NamedDeclaration).name?.getText() ?? '?'
  return ts.isMethodDeclaration(node) && ts.isClassDeclaration(node.parent)
    ? `${node.parent.name?.text ?? '?'}.${name}`
    : name
}

/** Public names whose comment has no `@category`: the site would show them under the last one. */
function uncategorized(): readonly string[] {
  const doors = ['index', 'crypto', 'testing'].map((name) => join(ROOT, 'ts', `${name}.ts`))
  const program = ts.createProgram(doors, compilerOptions())
  const checker = program.getTypeChecker()
  return doors.flatMap((door) => {
    const file = program.getSourceFile(door)
    const module = file === undefined ? undefined : checker.getSymbolAtLocation(file)
    if (module === undefined) throw new Error(`${door} has no exports`)
    return checker
      .getExportsOfModule(module)
      .filter((name) => {
        const symbol = name.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(name) : name
        return !symbol.getJsDocTags(checker).some((tag) => tag.name === 'category')
      })
      .map((name) => name.name)
  })
}

/** What the compiler says about the examples, which import the sources. */
function typeErrors(): readonly string[] {
  const options: ts.CompilerOptions = {
    ...compilerOptions(),
    paths: {
      espalier: [join(ROOT, 'ts', 'index.ts')],
      'espalier/*': [join(ROOT, 'ts', '*.ts')],
    },
  }
  const names = new Map(examples.map(({ name, source }) => [join(ROOT, 'ts', `example-${name}.ts`), source]))
  const host = ts.createCompilerHost(options)
  const inherited = { read: host.readFile.bind(host), exists: host.fileExists.bind(host) }
  host.readFile = (path) => names.get(path) ?? inherited.read(path)
  host.fileExists = (path) => names.has(path) || inherited.exists(path)
  const program = ts.createProgram([...names.keys()], options, host)
  return [...names.keys()].flatMap((path) =>
    ts
      .getPreEmitDiagnostics(program, program.getSourceFile(path))
      .map(({ messageText }) => `${path}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`),
  )
}

function compilerOptions(): ts.CompilerOptions {
  const read = ts.readConfigFile(join(ROOT, 'tsconfig.json'), (path) => readFileSync(path, 'utf8'))
  return ts.parseJsonConfigFileContent(read.config, ts.sys, ROOT).options
}

function toJavaScript(source: string): string {
  return ts
    .transpileModule(source, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    })
    .outputText.replaceAll(/from "(espalier[^"]*)"/g, "from '$1'")
}
