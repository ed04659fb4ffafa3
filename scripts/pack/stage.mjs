// Lays out the folders that are packed: nothing in the working tree changes.
import { createHash } from 'node:crypto'
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from '../install.mjs'
import { artifactName } from './addons.mjs'
import { localProgram, runProgram } from './run.mjs'
import { TARGETS } from '../targets.mjs'

const BUNDLE = 'espalier-prebuilds'
export const LICENCES = ['LICENSE-MIT', 'LICENSE-APACHE']

/** The bundle without its addons yet. */
export function stageBundle(folder) {
  cpSync(join(root, 'npm', 'prebuilds'), folder, { recursive: true })
  copyLicences(folder)
}

/** The core package: freshly compiled, with what its manifest says is packed, and the Rust sources. */
export function stageCore(folder) {
  mkdirSync(folder, { recursive: true })
  runProgram(localProgram('tsc'), ['-p', 'tsconfig.build.json', '--outDir', join(folder, 'dist')])
  const [listed] = JSON.parse(runProgram('npm', ['pack', '--dry-run', '--json', '--ignore-scripts']))
  for (const { path } of listed.files) {
    // dist in the working tree may hold files of sources that are gone.
    if (path.startsWith('dist/') || path === 'package.json') continue
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    copyFileSync(join(root, path), join(folder, path))
  }
  keepPackedCrates(folder)
  const manifest = readJson(join(root, 'package.json'))
  for (const field of ['scripts', 'devDependencies', 'allowScripts', 'napi']) delete manifest[field]
  // A peer, so that pnpm lets the core see it, and npm refuses a bundle of another version.
  manifest.peerDependencies = { [BUNDLE]: manifest.version }
  manifest.peerDependenciesMeta = { [BUNDLE]: { optional: true } }
  writeJson(join(folder, 'package.json'), manifest)
}

/** Takes crates that are not packed (fuzzing) out of the workspace and of its lock file; no version changes. */
function keepPackedCrates(folder) {
  const path = join(folder, 'Cargo.toml')
  const text = readFileSync(path, 'utf8')
  const packed = text.replace(/^members = \[(.*)\]$/m, (_, list) => {
    const members = list.split(',').map((name) => name.trim())
    return `members = [${members.filter((name) => existsSync(join(folder, JSON.parse(name)))).join(', ')}]`
  })
  if (packed === text) return
  writeFileSync(path, packed)
  runProgram(
    'cargo',
    ['metadata', '--format-version=1', '--offline', '--filter-platform', TARGETS[0].triple],
    {
      cwd: folder,
    },
  )
}

/**
 * The platform packages below `core`/npm: @napi-rs/cli puts the addons into the folders of the repository, and their exact
 * versions into the core as optional dependencies. `addons` are `{ target, path }`. Returns the folders.
 */
export function stagePlatforms(core, addons) {
  const artifacts = join(core, 'artifacts')
  mkdirSync(artifacts)
  for (const { target, path } of addons) copyFileSync(path, join(artifacts, artifactName(target)))
  // The CLI fails when an addon of a configured target is missing, so it is told only what was built.
  const config = { binaryName: 'espalier', targets: addons.map(({ target }) => target.triple) }
  writeJson(join(core, 'napi.json'), config)
  // The folder is there before the CLI starts: it takes one that is not yet for a place outside the package.
  const folders = addons.map(({ target }) => join(core, 'npm', target.name))
  addons.forEach(({ target }, index) =>
    cpSync(join(root, 'npm', target.name), folders[index], { recursive: true }),
  )
  folders.forEach(copyLicences)
  for (const args of [
    ['artifacts', '--output-dir', 'artifacts'],
    ['pre-publish', '--skip-optional-publish', '--no-gh-release'],
  ]) {
    runProgram(localProgram('napi'), [...args, '--npm-dir', 'npm', '-c', 'napi.json'], { cwd: core })
  }
  return folders
}

/** Writes the list of digests that the loader checks before it loads a packed addon. */
export function writeAddonHashes(core, addons) {
  const hashes = Object.fromEntries(
    addons.map(({ target, path }) => [
      target.name,
      createHash('sha256').update(readFileSync(path)).digest('hex'),
    ]),
  )
  writeJson(join(core, 'dist', 'native', 'addon-hashes.json'), { sha256: hashes })
}

/** Packs a folder into `destination` and returns what npm says about the tarball. */
export function packFolder(folder, destination) {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', destination]
  const [packed] = JSON.parse(runProgram('npm', args, { cwd: folder }))
  return packed
}

export function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

export function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`)
}

function copyLicences(folder) {
  for (const name of LICENCES) copyFileSync(join(root, name), join(folder, name))
}
