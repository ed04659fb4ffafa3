import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** What others say, and who: everything else in the table has to be in our own sources. */
const FOREIGN = [
  /^GLIBC_/, // the system's loader
  /^Could not locate the bindings file/, // better-sqlite3 12
  /^ERR_PNPM_IGNORED_BUILDS/,
  /^TS1479/,
]

test('every error text in the guide to installing is one that the sources have', () => {
  const sources = ['ts', 'scripts'].flatMap((folder) => textsBelow(join(ROOT, folder))).join('\n')
  const texts = errorTexts().filter((text) => !FOREIGN.some((pattern) => pattern.test(text)))
  // A text of the guide has `…` where the sources put a value.
  const parts = texts.flatMap((text) => text.replace(/^NATIVE_UNAVAILABLE: /, '').split('…'))

  expect(texts.length).toBeGreaterThan(5)
  expect(parts.map((part) => part.trim()).filter((part) => !sources.includes(part))).toEqual([])
})

test('every command line of the guide names what is there', () => {
  const guide = readGuide()
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    readonly scripts: Readonly<Record<string, string>>
  }
  const named = [...guide.matchAll(/npm run ([\w:-]+)/g)].map(([, name = '']) => name)
  const commands = [...guide.matchAll(/npx espalier ([\w-]+)/g)].map(([, name = '']) => name)
  const known = readdirSync(join(ROOT, 'ts', 'cli', 'commands')).map((name) => name.replace('.ts', ''))

  expect(named.filter((name) => scripts[name] === undefined)).toEqual([])
  expect(commands.filter((name) => !known.includes(name))).toEqual([])
  expect([named.length > 0, commands.length > 0]).toEqual([true, true])
})

/** The first column of the table below "When it does not work". */
function errorTexts(): string[] {
  const table = readGuide().split('## When it does not work')[1] ?? ''
  return [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, text = '']) => text)
}

function readGuide(): string {
  return readFileSync(join(ROOT, 'docs', 'guide', 'install.md'), 'utf8')
}

function textsBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
}
