// `npm run pack:all`: every tarball of a release into build/packages, checked. Without flags for this machine, with
// what `npm test` needs anyway; `-- --cross` for every target that zig can link; `-- --addons DIR` builds addons only,
// and `-- --prebuilt DIR` packs what was built on several machines. docs/RELEASING.md has the rest.
import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureInstalled, root } from './install.mjs'
import { artifactName, buildPrebuild, takePrebuild } from './pack/addons.mjs'
import {
  portabilityFaults,
  manifestFaults,
  MAX_ADDON_BYTES,
  MAX_CORE_BYTES,
  pathsIn,
  versionFaults,
} from './pack/checks.mjs'
import {
  packFolder,
  readJson,
  stageBundle,
  stageCore,
  stagePlatforms,
  writeAddonHashes,
  writeJson,
} from './pack/stage.mjs'
import { hostTarget, targetNamed, TARGETS } from './targets.mjs'
import { requireToolchain } from './toolchain.mjs'
import { ensureRustTarget, zigEnvironment } from './pack/zig.mjs'

const { values: flags } = parseArgs({
  options: {
    cross: { type: 'boolean', default: false },
    target: { type: 'string', multiple: true },
    prebuilt: { type: 'string' },
    addons: { type: 'string' },
    out: { type: 'string', default: join(root, 'build', 'packages') },
  },
})
const started = performance.now()
try {
  await main()
} catch (error) {
  console.error(error.message)
  process.exit(1)
}

async function main() {
  if (!flags.prebuilt) requireToolchain()
  ensureInstalled()
  const targets = chosenTargets()
  const packages = resolve(flags.out)
  const stage = `${packages}.stage`
  for (const folder of [packages, stage]) rmSync(folder, { recursive: true, force: true })
  for (const folder of [packages, stage]) mkdirSync(folder, { recursive: true })
  const [core, bundle] = ['core', 'prebuilds'].map((name) => join(stage, name))

  stageBundle(bundle)
  const addons = targets.map((target) => ({ target, path: addonOf(target, bundle) }))
  if (flags.addons)
    return finish([...addons.flatMap(addonFaults), ...copyAddons(addons, resolve(flags.addons))])
  stageCore(core)
  const platforms = stagePlatforms(core, addons)
  writeAddonHashes(core, addons)

  const packed = [core, ...platforms, bundle].map((folder) => ({
    folder,
    manifest: readJson(join(folder, 'package.json')),
    ...packFolder(folder, packages),
  }))
  const faults = [...addons.flatMap(addonFaults), ...packageFaults(packed)]
  const localOnly = addons.flatMap(({ target, path }) =>
    portabilityFaults(target, path).map((why) => `${target.name}: ${why}`),
  )
  const report = reportOf(packed, packages, localOnly)
  writeJson(join(packages, 'packages.json'), report)
  print(report)
  // What was built to be published has to be publishable; what plain cargo built for this machine may not be.
  const wrong = flags.cross || flags.prebuilt ? [...faults, ...localOnly] : faults
  rmSync(stage, { recursive: true, force: true })
  finish(wrong)
}

function finish(faults) {
  for (const fault of faults) console.error(`wrong: ${fault}`)
  if (faults.length > 0) process.exit(1)
}

/** Leaves the addons as `--prebuilt` takes them; answers why they can't be published. */
function copyAddons(addons, folder) {
  mkdirSync(folder, { recursive: true })
  for (const { target, path } of addons) copyFileSync(path, join(folder, artifactName(target)))
  return addons.flatMap(({ target, path }) => portabilityFaults(target, path))
}

function chosenTargets() {
  if (flags.target) return flags.target.map(targetNamed)
  if (flags.prebuilt) return TARGETS
  if (flags.cross) return TARGETS.filter(({ zig }) => zig)
  const host = hostTarget()
  if (!host)
    throw new Error(`${process.platform} on ${process.arch} is no platform that Espalier is packed for`)
  return [host]
}

function addonOf(target, bundle) {
  if (flags.prebuilt) return takePrebuild(target, bundle, resolve(flags.prebuilt))
  if (!flags.cross) return buildPrebuild(target, bundle, { cross: false })
  ensureRustTarget(target.triple)
  return buildPrebuild(target, bundle, { cross: true, env: zigEnvironment() })
}

function addonFaults({ target, path }) {
  const bytes = readFileSync(path)
  const tooLarge =
    bytes.length > MAX_ADDON_BYTES ? [`it has ${bytes.length} bytes, more than ${MAX_ADDON_BYTES}`] : []
  return [...pathsIn(bytes), ...tooLarge].map((what) => `${target.name}: ${what}`)
}

function packageFaults(packed) {
  const [core, ...others] = packed
  const each = packed.flatMap(({ manifest, files }) =>
    manifestFaults(
      manifest,
      files.map(({ path }) => path),
    ).map((what) => `${manifest.name}: ${what}`),
  )
  const size =
    core.unpackedSize > MAX_CORE_BYTES
      ? [`the core has ${core.unpackedSize} bytes unpacked, more than ${MAX_CORE_BYTES}`]
      : []
  return [
    ...each,
    ...size,
    ...versionFaults(
      core.manifest,
      others.map(({ manifest }) => manifest),
    ),
  ]
}

/** What build/packages/packages.json says: for tests, and for the release workflow. */
function reportOf(packed, folder, localOnly) {
  return {
    version: packed[0].manifest.version,
    // Missing while no manifest names one; publishing asks for it.
    repository: packed[0].manifest.repository?.url,
    // Reasons why these tarballs must not be published. Empty for a release.
    localOnly,
    packages: packed.map(({ name, filename, size, unpackedSize, files }) => ({
      name,
      tarball: filename,
      sizeBytes: size,
      unpackedBytes: unpackedSize,
      files: files.length,
      sha256: createHash('sha256')
        .update(readFileSync(join(folder, filename)))
        .digest('hex'),
    })),
  }
}

function print(report) {
  const size = (bytes) => `${(bytes / 1024 / 1024).toFixed(2)} MiB`.padStart(10)
  console.log(`\n${'package'.padEnd(32)}${'tarball'.padStart(10)}${'installed'.padStart(12)}  files`)
  for (const { name, sizeBytes, unpackedBytes, files } of report.packages) {
    console.log(`${name.padEnd(32)}${size(sizeBytes)}${size(unpackedBytes).padStart(12)}  ${files}`)
  }
  const [core, platform] = report.packages
  console.log(`\nAn install takes ${size(core.unpackedBytes + platform.unpackedBytes).trim()} beside SQLite.`)
  for (const reason of report.localOnly) console.log(`For this machine only: ${reason}.`)
  console.log(
    `${report.packages.length} tarballs in ${flags.out}, ${Math.round((performance.now() - started) / 1000)} s`,
  )
}
