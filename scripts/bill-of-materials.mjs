// `node scripts/bill-of-materials.mjs FILE`: writes what npm installs with the package, as CycloneDX. `npm sbom --omit dev`
// in the tree would leave out what a development dependency needs too (npm 11.19.1: 23 of 43 packages), so npm sees a
// copy of the manifest and of the lock file without development dependencies.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './install.mjs'
import { runProgram } from './pack/run.mjs'
import { readJson, writeJson } from './pack/stage.mjs'

const [file] = process.argv.slice(2)
if (file === undefined) {
  console.error('node scripts/bill-of-materials.mjs FILE')
  process.exit(2)
}
writeFileSync(file, billOfMaterials())

function billOfMaterials() {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-bill-'))
  try {
    const { devDependencies: _, ...manifest } = readJson(join(root, 'package.json'))
    // npm names the component after its folder.
    const cwd = join(folder, manifest.name)
    mkdirSync(cwd)
    writeJson(join(cwd, 'package.json'), manifest)
    copyFileSync(join(root, 'package-lock.json'), join(cwd, 'package-lock.json'))
    runProgram('npm', ['install', '--package-lock-only', '--ignore-scripts', '--offline', '--no-audit'], {
      cwd,
    })
    return runProgram('npm', ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx'], { cwd })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
