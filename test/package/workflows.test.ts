import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { repository } from './build-script.ts'

interface Step {
  readonly uses?: string
  readonly run?: string
}

interface Job {
  readonly uses?: string
  readonly needs?: string | readonly string[]
  readonly permissions?: Readonly<Record<string, string>>
  readonly 'timeout-minutes'?: number
  readonly strategy?: {
    readonly matrix: { readonly include?: readonly { readonly target?: string }[] } & Matrix
  }
  readonly steps?: readonly Step[]
}

type Matrix = Readonly<Record<string, unknown>>

interface Workflow {
  readonly permissions?: unknown
  readonly jobs: Readonly<Record<string, Job>>
}

const FOLDER = join(repository, '.github', 'workflows')
const workflows = new Map(
  readdirSync(FOLDER).map((name) => [name, parse(readFileSync(join(FOLDER, name), 'utf8')) as Workflow]),
)
const jobs = [...workflows].flatMap(([file, { jobs }]) =>
  Object.entries(jobs).map(([name, job]) => ({ file, name, job })),
)
const commands = jobs.flatMap(({ job }) =>
  (job.steps ?? []).flatMap(({ run }) => (run === undefined ? [] : [run])),
)
const platforms = readdirSync(join(repository, 'npm')).filter((name) => name !== 'prebuilds')

const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
  scripts: Readonly<Record<string, string>>
}

describe('the documents', () => {
  test('name only scripts that are there, and these call only files that are there', () => {
    const texts = ['README.md', ...documents('docs')].map((path) =>
      readFileSync(join(repository, path), 'utf8'),
    )
    const named = new Set(
      texts.flatMap((text) =>
        [...text.matchAll(/npm run ([a-z]+(?::[a-z]+)*)/g)].map(([, name = '']) => name),
      ),
    )
    const files = Object.values(scripts).flatMap((script) =>
      [...script.matchAll(/node (\S+\.mjs)/g)].map(([, path = '']) => path),
    )

    expect([...named]).toEqual(expect.arrayContaining(['bench', 'fuzz', 'test:asan', 'test:long']))
    expect([...named].filter((name) => scripts[name] === undefined)).toEqual([])
    expect(files).toContain('scripts/asan.mjs')
    expect(files.filter((path) => !existsSync(join(repository, path)))).toEqual([])
  })
})

describe('the workflows', () => {
  test('call only scripts that are there', () => {
    const files = commands.flatMap((run) =>
      [...run.matchAll(/node (scripts\/\S+)/g)].map(([, path = '']) => path),
    )
    const named = commands.flatMap((run) =>
      [...run.matchAll(/npm (?:run (\S+)|(test))\b/g)].map(([, name, test]) => name ?? test ?? ''),
    )

    expect(files.length).toBeGreaterThan(3)
    expect(files.filter((path) => !existsSync(join(repository, path)))).toEqual([])
    expect(named.length).toBeGreaterThan(3)
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([])
  })

  test('name only flags that packing knows', () => {
    const script = readFileSync(join(repository, 'scripts', 'pack-all.mjs'), 'utf8')
    const flags = commands
      .filter((run) => run.includes('pack:all'))
      .flatMap((run) => [...run.matchAll(/ --([a-z]+)/g)].map(([, name = '']) => name))

    expect(new Set(flags)).toEqual(new Set(['cross', 'target', 'addons', 'prebuilt', 'out']))
    expect(flags.filter((flag) => !new RegExp(`^    ${flag}: `, 'm').test(script))).toEqual([])
  })

  test('build every platform once and nothing else', () => {
    const release = workflows.get('release.yml')?.jobs
    const byZig = (release?.['linux']?.steps ?? [])
      .flatMap(({ run = '' }) => [...run.matchAll(/--target (\S+)/g)])
      .map(([, name]) => name)
    const native = (release?.['native']?.strategy?.matrix.include ?? []).map(({ target }) => target)

    expect([...byZig, ...native].sort()).toEqual(platforms)
  })

  test('run the tests on every supported line of Node and the oldest release of the oldest', () => {
    const matrix: Matrix | undefined = workflows.get('ci.yml')?.jobs['test']?.strategy?.matrix

    expect(matrix?.['node']).toEqual(['20.19', '22', '24', '26'])
    expect(matrix?.['os']).toHaveLength(4)
  })

  test('depend on jobs that are there, and publish last, after everything', () => {
    const release = workflows.get('release.yml')?.jobs ?? {}
    const needs = Object.entries(release).map(([name, job]) => [name, [job.needs ?? []].flat()] as const)
    const before = (name: string): string[] =>
      (needs.find(([one]) => one === name)?.[1] ?? []).flatMap((one) => [one, ...before(one)])

    expect(needs.flatMap(([, names]) => names).filter((name) => !(name in release))).toEqual([])
    expect([...new Set(before('publish')), 'publish'].sort()).toEqual(Object.keys(release).sort())
  })

  test('have no right but to read, except where something is published', () => {
    const writing = jobs.filter(({ job }) => Object.values(job.permissions ?? {}).includes('write'))

    expect([...workflows.values()].map(({ permissions }) => permissions)).toEqual([
      { contents: 'read' },
      { contents: 'read' },
    ])
    expect(writing.map(({ file, name }) => `${file}: ${name}`)).toEqual(['release.yml: publish'])
  })

  test('end by themselves, and take actions of a named version', () => {
    const endless = jobs.filter(({ job }) => job.uses === undefined && job['timeout-minutes'] === undefined)
    const actions = jobs.flatMap(({ job }) => (job.steps ?? []).flatMap(({ uses }) => uses ?? []))

    expect(endless.map(({ name }) => name)).toEqual([])
    expect(actions.filter((name) => !/^[\w.-]+\/[\w./-]+@(v\d+|[0-9a-f]{40})$/.test(name))).toEqual([])
  })
})

/** Markdown files below a folder. */
function documents(folder: string): string[] {
  return readdirSync(join(repository, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === 'api' ? [] : documents(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}
