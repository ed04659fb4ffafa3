import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './tools.ts'

export type ModuleKind = 'esm' | 'cjs'
export const MODULE_KINDS: readonly ModuleKind[] = ['esm', 'cjs']

/** What the README's first example prints. */
export const EXAMPLE_PRINTS = 'an apple tree on a lattice\n'

/** The README's first example, as it stands there. */
export function readmeExample(): string {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const block = /^```ts\n([\s\S]*?)^```$/m.exec(text)?.[1]
  if (block === undefined) throw new Error('README.md has no example')
  return block
}

/** The example as a program. */
export function exampleProgram(kind: ModuleKind): string {
  const { imports, body } = parts(kind)
  return kind === 'esm' ? imports + body : `'use strict'\n${imports}void (async () => {\n${body}})()\n`
}

/** The example as a program that expects to fail, and prints how as JSON. */
export function failingProgram(kind: ModuleKind): string {
  const { imports, body } = parts(kind)
  return `${imports}void (async () => {
${body}})().catch((error) => {
  console.log(JSON.stringify({ code: error.code, attempts: error.details?.attempts }))
})
`
}

/** The example's imports, which become `require` in CommonJS, and the rest. */
function parts(kind: ModuleKind): { readonly imports: string; readonly body: string } {
  // Only the two ports are others, because the same example may run elsewhere at the same time.
  const first = 20_000 + (process.pid % 1000) * 10
  const source = readmeExample()
    .replaceAll('4840', String(first))
    .replaceAll('4841', String(first + 1))
  const statement = /^import (\{[^}]*\}) from ('[^']+')\n/gm
  const imports = [...source.matchAll(statement)].map(([whole, names, from]) =>
    kind === 'esm' ? whole : `const ${names ?? ''} = require(${from ?? ''})\n`,
  )
  return { imports: imports.join(''), body: source.replaceAll(statement, '') }
}
