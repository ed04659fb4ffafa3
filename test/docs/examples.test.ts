import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runProgram } from '../e2e/support/child.ts'

/** Where users have it beside the package. */
const PROM_CLIENT = pathToFileURL(createRequire(import.meta.url).resolve('prom-client')).href
const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** Every ```ts block of the README and the guide with what it prints; a block that is missing here fails. */
const PRINTED: Readonly<Record<string, readonly (string | RegExp)[]>> = {
  'README.md': ['an apple tree on a lattice\n', /^true Uint8Array\(32\) \[\n {2}100, {2}55, 179, 172/],
  'docs/guide/errors.md': ['not read: SHARDS_MISSING { found: 1, needed: 2 }\n'],
  'docs/guide/objects.md': ['stored 1000000 bytes as 2 + 1 shards\nread 1000000 bytes\n'],
  'docs/guide/values.md': [
    '1 winter\n2 spring\n',
    '3 summer\n2 spring\n1 winter\n',
    '1 winter\n2 spring\n3 summer\n',
  ],
  'docs/guide/lookups.md': ['true true true\n'],
  'docs/guide/metrics.md': [
    'espalier_connections{direction="inbound"} 0\n',
    'visits_total 1\nespalier_stored_records{node="first"} 0\nespalier_stored_records{node="second"} 0\n',
  ],
  'docs/guide/providers.md': ['2\n500\n500\n0\n'],
  'docs/guide/simulator.md': ['winter after true\n'],
  'docs/guide/nodes.md': ['MLKEM768 mldsa65 TLS_CHACHA20_POLY1305_SHA256\n'],
}

let directory = ''

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-docs-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

describe('the examples of the documentation', () => {
  test('every document with examples is listed', () => {
    const documents = [
      'README.md',
      ...readdirSync(join(ROOT, 'docs', 'guide')).map((name) => `docs/guide/${name}`),
    ]
    const counts = documents
      .map((path): [string, number] => [path, blocksOf(path).length])
      .filter(([, count]) => count > 0)

    expect(Object.fromEntries(counts)).toEqual(
      Object.fromEntries(Object.entries(PRINTED).map(([path, printed]) => [path, printed.length])),
    )
  })

  const cases = Object.entries(PRINTED).flatMap(([path, printed]) =>
    printed.map((expected, index): [string, number, string | RegExp] => [path, index, expected]),
  )
  test.each(cases)('%s, example %i, runs and prints what it says', async (path, index, expected) => {
    const source = blocksOf(path)[index] ?? ''
    const cwd = mkdtempSync(join(directory, 'run-'))

    const ending = await runProgram(toJavaScript(source), { cwd })

    expect(ending, ending.stderr).toMatchObject({ code: 0, signal: null, stderr: '' })
    expect(ending.stdout).toMatch(expected)
    // Nothing may keep a process that is done; the longest time-out that could is longer.
    expect(ending.sinceLastLineMs).toBeLessThan(8000)
  })
})

function blocksOf(path: string): string[] {
  const text = readFileSync(join(ROOT, path), 'utf8')
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '')
}

/** Types away and `using` lowered, which the oldest supported Node doesn't know. */
function toJavaScript(source: string): string {
  return ts
    .transpileModule(source, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    })
    .outputText.replaceAll(/from "(espalier[^"]*)"/g, "from '$1'")
    .replaceAll(/["']prom-client["']/g, JSON.stringify(PROM_CLIENT))
}
