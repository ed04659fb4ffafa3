// Zig as C compiler and linker of other platforms: two PyPI packages in a folder of their own, fetched once.
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { root } from '../install.mjs'
import { runProgram } from './run.mjs'

const PACKAGES = ['ziglang==0.17.0', 'cargo-zigbuild==0.24.0']
const folder = join(root, 'build', 'tools', 'zig')

/** The environment in which `cargo zigbuild` works; installs it when it is not there. Needs Python 3 with venv. */
export function zigEnvironment() {
  const bin = join(folder, process.platform === 'win32' ? 'Scripts' : 'bin')
  if (!existsSync(join(bin, 'cargo-zigbuild'))) {
    runProgram('python3', ['-m', 'venv', folder], { show: true })
    runProgram(join(bin, 'pip'), ['install', '--quiet', ...PACKAGES], { show: true })
  }
  return {
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    // Programs in between put folders of their own first, and another python3 knows no zig.
    CARGO_ZIGBUILD_ZIG_PATH: zigProgram(bin),
    // Zig's own cache stays with the build.
    ZIG_GLOBAL_CACHE_DIR: join(root, 'build', 'tools', 'zig-cache'),
  }
}

function zigProgram(bin) {
  const program = "import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), 'zig'))"
  return runProgram(join(bin, 'python'), ['-c', program]).trim()
}

/** Fetches Rust's standard library of a target when rustup has it not yet. */
export function ensureRustTarget(triple) {
  const installed = runProgram('rustup', ['target', 'list', '--installed']).split(/\s+/)
  if (!installed.includes(triple)) runProgram('rustup', ['target', 'add', triple], { show: true })
}
