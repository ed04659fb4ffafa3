// `node scripts/publish.mjs DIR [--dry-run]`: publishes the packages of DIR with provenance, the core last, so that nobody
// gets a core whose addons are not there yet. A package that is there already is left alone: a run that failed in the
// middle is repeated. Meant for the release workflow, whose identity is what the registry trusts, and whose repository
// (GITHUB_SERVER_URL, GITHUB_REPOSITORY) the packages have to name: the registry compares it with the provenance.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './install.mjs'
import { repositoryUrl } from './pack/repository.mjs'
import { runProgram } from './pack/run.mjs'
import { TARGETS } from './targets.mjs'

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'dry-run': { type: 'boolean', default: false } },
})
const folder = resolve(positionals[0] ?? join(root, 'build', 'packages'))
try {
  publishAll(JSON.parse(readFileSync(join(folder, 'packages.json'), 'utf8')))
} catch (error) {
  console.error(error.message)
  process.exit(1)
}

function publishAll({ version, repository, localOnly, packages }) {
  if (localOnly.length > 0) throw new Error(`not to be published: ${localOnly.join('; ')}`)
  const own = repositoryUrl(process.env)
  if (repository !== own)
    throw new Error(`the packages name ${repository ?? 'no repository'}, this is ${own}`)
  // A version with a suffix must not become what `npm install espalier` gives.
  const tag = version.includes('-') ? 'next' : 'latest'
  for (const { name, tarball } of inOrder(packages)) {
    if (isPublished(`${name}@${version}`)) {
      console.log(`${name}@${version} is there already`)
      continue
    }
    console.log(`${name}@${version} as ${tag}${flags['dry-run'] ? ' (not sent)' : ''}`)
    if (flags['dry-run']) continue
    const args = ['publish', join(folder, tarball), '--provenance', '--access', 'public', '--tag', tag]
    runProgram('npm', args, { show: true })
  }
}

/** Platform packages, bundle, core. Every package of a release has to be there. */
function inOrder(packages) {
  const names = [...TARGETS.map(({ name }) => `espalier-${name}`), 'espalier-prebuilds', 'espalier']
  return names.map((name) => {
    const found = packages.find((one) => one.name === name)
    if (!found) throw new Error(`${folder} has no ${name}`)
    return found
  })
}

/** Asks the registry; anything but a clear no ends the run. */
function isPublished(spec) {
  const done = spawnSync('npm', ['view', spec, 'version', '--json'], {
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  if (done.status === 0) return done.stdout.trim() !== ''
  if (/\bE404\b/.test(done.stdout + done.stderr)) return false
  throw new Error(`the registry did not say whether ${spec} is there:\n${done.stderr}`)
}
