// Builds the native addon of this machine in release mode into build/Release/espalier.node.
// `--out FILE` and `--target-dir DIR` put it elsewhere, `--offline` keeps cargo from the network.
import { chmodSync, copyFileSync, mkdirSync, renameSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { buildAddon, targetFolder } from './cargo-build.mjs'
import { requireToolchain } from './toolchain.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const { values } = parseArgs({
  options: { out: { type: 'string' }, 'target-dir': { type: 'string' }, offline: { type: 'boolean' } },
})
const out = values.out ? resolve(values.out) : join(root, 'build', 'Release', 'espalier.node')

requireToolchain()
try {
  const library = buildAddon({
    targetDir: values['target-dir'] ? resolve(values['target-dir']) : targetFolder(),
    cargoArgs: values.offline ? ['--offline'] : [],
  })
  mkdirSync(dirname(out), { recursive: true })
  // Rename, so that a process that has the old addon mapped keeps its file.
  copyFileSync(library, `${out}.tmp`)
  // Whatever the umask: the loader takes no addon that others may write.
  chmodSync(`${out}.tmp`, 0o755)
  renameSync(`${out}.tmp`, out)
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
