// `node scripts/release-version.mjs v1.2.3`: fails unless package.json and the newest entry of CHANGELOG.md have that
// version and the entry has a date. `--notes` prints the entry; `--repository` writes the address of the repository that the
// workflow runs in into every manifest, because the registry compares it with the one that the provenance names.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './install.mjs'
import { repositoryUrl } from './pack/repository.mjs'
import { readJson, writeJson } from './pack/stage.mjs'

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { notes: { type: 'boolean', default: false }, repository: { type: 'boolean' } },
})
const faults = faultsOf(positionals[0] ?? '')
for (const fault of faults) console.error(fault)
if (faults.length > 0) process.exit(1)
if (flags.repository) nameRepository(repositoryUrl(process.env))
if (flags.notes) console.log(newestEntry().text)

function faultsOf(tag) {
  const { version } = readJson(join(root, 'package.json'))
  const entry = newestEntry()
  return [
    ...(tag === `v${version}` ? [] : [`the tag is ${tag}, package.json has ${version}`]),
    ...(entry.version === version
      ? []
      : [`CHANGELOG.md begins with ${entry.version}, package.json has ${version}`]),
    ...(/^\d{4}-\d{2}-\d{2}$/.test(entry.date)
      ? []
      : [`CHANGELOG.md gives ${entry.version} no date: ${entry.date}`]),
  ]
}

/** `## [1.2.3] - 2026-12-24` and what follows until the next of its kind. */
function newestEntry() {
  const text = readFileSync(join(root, 'CHANGELOG.md'), 'utf8')
  const [, version, date, body] = /^## \[([^\]]+)\] - (\S+)\n([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(text) ?? []
  if (version === undefined) throw new Error('CHANGELOG.md has no entry')
  return { version, date, text: body.trim() }
}

function nameRepository(url) {
  const repository = { type: 'git', url }
  const folders = readdirSync(join(root, 'npm')).map((name) => join('npm', name))
  for (const folder of ['.', ...folders]) {
    const path = join(root, folder, 'package.json')
    writeJson(path, { ...readJson(path), repository })
  }
}
