// Builds the native addon of this machine in release mode into build/Release/espalier.node.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { requireToolchain } from './toolchain.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

requireToolchain()
const built = spawnSync('cargo', ['build', '--release', '--locked', '-p', 'espalier-binding'], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    // Without it the first random call of a process waits 40-60 ms for jitter entropy.
    AWS_LC_SYS_NO_JITTER_ENTROPY: '1',
    // No path of the building machine ends up in a panic message.
    RUSTFLAGS: [process.env.RUSTFLAGS, `--remap-path-prefix=${root}=espalier`, ...homeRemap()]
      .filter(Boolean)
      .join(' '),
  },
})
if (built.status !== 0) process.exit(built.status ?? 1)

const library = {
  linux: 'libespalier_binding.so',
  darwin: 'libespalier_binding.dylib',
  win32: 'espalier_binding.dll',
}
const source = join(root, 'target', 'release', library[process.platform] ?? library.linux)
if (!existsSync(source)) {
  console.error(`cargo finished, but ${source} is not there`)
  process.exit(1)
}
const target = join(root, 'build', 'Release', 'espalier.node')
mkdirSync(dirname(target), { recursive: true })
// Rename, so that a process that has the old addon mapped keeps its file.
copyFileSync(source, `${target}.tmp`)
renameSync(`${target}.tmp`, target)

function homeRemap() {
  const home = process.env.CARGO_HOME ?? (process.env.HOME ? join(process.env.HOME, '.cargo') : undefined)
  return home ? [`--remap-path-prefix=${home}=cargo`] : []
}
