import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { repository } from './build-script.ts'

const VERSION = (JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string })
  .version
const PLATFORMS = readdirSync(join(repository, 'npm')).filter((name) => name !== 'prebuilds')

/** What GitHub Actions says about the repository. */
const ACTIONS = { GITHUB_SERVER_URL: 'https://example.org', GITHUB_REPOSITORY: 'a/b' }
const REPOSITORY = 'git+https://example.org/a/b.git'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-release-'))
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

test('the newest entry of the changelog is for the version of the package', () => {
  const changelog = readFileSync(join(repository, 'CHANGELOG.md'), 'utf8')

  expect(/^## \[([^\]]+)\] - (unreleased|\d{4}-\d{2}-\d{2})$/m.exec(changelog)?.[1]).toBe(VERSION)
})

describe('the check of a tag', () => {
  beforeEach(() => {
    for (const name of ['package.json', 'npm', 'scripts']) {
      cpSync(join(repository, name), join(directory, name), { recursive: true })
    }
    changelog(`## [${VERSION}] - 2026-12-24\n\n### Added\n\n- This.\n\n## [0.0.1] - 2026-01-01\n\n- That.\n`)
  })

  test('passes when tag, manifest and changelog agree, and gives the entry', () => {
    const checked = check(`v${VERSION}`, '--notes')

    expect(checked).toMatchObject({ status: 0, stdout: '### Added\n\n- This.\n' })
  })

  test.each([
    ['another tag', 'v9.9.9', undefined],
    ['a tag without v', VERSION, undefined],
    ['an entry of another version first', `v${VERSION}`, '## [9.9.9] - 2026-12-24\n\n- This.\n'],
    ['an entry without a date', `v${VERSION}`, `## [${VERSION}] - unreleased\n\n- This.\n`],
    ['no entry', `v${VERSION}`, 'Nothing.\n'],
  ])('fails for %s', (_, tag, text) => {
    if (text !== undefined) changelog(text)

    expect(check(tag).status).toBe(1)
  })

  test('names the repository in every manifest, as provenance asks for', () => {
    expect(check(`v${VERSION}`, '--repository')).toMatchObject({ status: 0 })

    for (const folder of ['.', ...readdirSync(join(directory, 'npm')).map((name) => join('npm', name))]) {
      const text = readFileSync(join(directory, folder, 'package.json'), 'utf8')
      expect(JSON.parse(text)).toMatchObject({ repository: { type: 'git', url: REPOSITORY } })
    }
  })

  test.each([
    ['none', { GITHUB_REPOSITORY: '' }],
    ['one that is no name', { GITHUB_REPOSITORY: 'a/b/../c' }],
    ['a server that is none', { GITHUB_SERVER_URL: 'example.org' }],
  ])('names no repository where the workflow has %s', (_, env) => {
    expect(checkIn({ ...ACTIONS, ...env }, `v${VERSION}`, '--repository').status).toBe(1)
    expect(readFileSync(join(directory, 'package.json'), 'utf8')).not.toContain('"repository"')
  })

  function check(...args: string[]): { status: number | null; stdout: string } {
    return checkIn(ACTIONS, ...args)
  }

  function checkIn(env: Readonly<Record<string, string>>, ...args: string[]) {
    return spawnSync(process.execPath, ['scripts/release-version.mjs', ...args], {
      cwd: directory,
      encoding: 'utf8',
      env: { ...process.env, ...env },
    })
  }

  function changelog(text: string): void {
    writeFileSync(join(directory, 'CHANGELOG.md'), `# Changes\n\n${text}`)
  }
})

// The stand-in for npm is a shell script.
describe.runIf(process.platform !== 'win32')('publishing', () => {
  const names = [...PLATFORMS.map((name) => `espalier-${name}`), 'espalier-prebuilds', 'espalier']

  test('sends platform packages and bundle before the core, with provenance', () => {
    const { status, sent } = publish({ packages: names.toReversed() })

    expect(status).toBe(0)
    expect(sent).toHaveLength(names.length)
    expect(sent.at(-1)).toBe(
      `publish ${join(directory, 'espalier.tgz')} --provenance --access public --tag latest`,
    )
    expect(sent.at(-2)).toContain('espalier-prebuilds.tgz')
  })

  test('goes on where a run ended, and sends nothing in a dry run', () => {
    const rest = publish({ packages: names, published: names.slice(0, -1) })
    const dry = publish({ packages: names, args: ['--dry-run'] })

    expect(rest.sent.map((line) => line.split(' ')[1])).toEqual([join(directory, 'espalier.tgz')])
    expect(dry).toMatchObject({ status: 0, sent: [] })
  })

  test('gives a version with a suffix to those who ask for it only', () => {
    expect(publish({ packages: names, version: '1.0.0-rc.1' }).sent.at(-1)).toContain('--tag next')
  })

  test.each([
    ['a package is missing', { packages: names.slice(1) }],
    ['the addons are for one machine', { packages: names, localOnly: ['it needs glibc 2.34, above 2.28'] }],
    ['the registry answers with an error', { packages: names, broken: true }],
    ['they name no repository', { packages: names, repository: null }],
    ['they name another repository', { packages: names, repository: 'git+https://example.org/a/c.git' }],
    ['no workflow says where it runs', { packages: names, env: { GITHUB_REPOSITORY: '' } }],
  ])('sends nothing when %s', (_, release) => {
    expect(publish(release)).toMatchObject({ status: 1, sent: [] })
  })

  interface Release {
    readonly packages: readonly string[]
    readonly published?: readonly string[]
    readonly localOnly?: readonly string[]
    readonly version?: string
    readonly args?: readonly string[]
    readonly broken?: boolean
    /** What the packages name; `null` for none. */
    readonly repository?: string | null
    readonly env?: Readonly<Record<string, string>>
  }

  function publish(release: Release): { readonly status: number | null; readonly sent: readonly string[] } {
    const { packages, published = [], localOnly = [], version = '1.0.0', args = [], broken = false } = release
    writeFileSync(
      join(directory, 'packages.json'),
      JSON.stringify({
        version,
        repository: release.repository === null ? undefined : (release.repository ?? REPOSITORY),
        localOnly,
        packages: packages.map((name) => ({ name, tarball: `${name}.tgz` })),
      }),
    )
    const bin = join(directory, 'bin')
    const log = join(directory, 'log')
    mkdirSync(bin, { recursive: true })
    writeFileSync(log, '')
    const known = published.map((name) => `${name}@${version}`).join('|') || 'none'
    const npm = `#!/bin/sh
if [ "$1" = view ]; then
  ${broken ? 'echo E500 >&2; exit 1' : ''}
  case "$2" in ${known}) echo '"${version}"'; exit 0;; *) echo 'npm error code E404' >&2; exit 1;; esac
fi
echo "$@" >> ${log}
`
    writeFileSync(join(bin, 'npm'), npm)
    chmodSync(join(bin, 'npm'), 0o755)
    const { status } = spawnSync(
      process.execPath,
      [join(repository, 'scripts', 'publish.mjs'), directory, ...args],
      {
        env: {
          ...process.env,
          ...ACTIONS,
          ...release.env,
          PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`,
        },
      },
    )
    return { status, sent: readFileSync(log, 'utf8').split('\n').filter(Boolean) }
  }
})
