// What a build needs beside Node, and how to get what is missing.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const MANIFEST = new URL('../Cargo.toml', import.meta.url)
/** `rust-version` of the workspace. */
const RUST_VERSION = /^rust-version = "(\d+)\.(\d+)/m
  .exec(readFileSync(MANIFEST, 'utf8'))
  .slice(1)
  .map(Number)

const REMEDIES = {
  cargo: {
    what: `Rust ${RUST_VERSION.join('.')} or newer`,
    linux: 'curl --proto "=https" --tlsv1.2 -sSf https://sh.rustup.rs | sh',
    darwin: 'curl --proto "=https" --tlsv1.2 -sSf https://sh.rustup.rs | sh',
    win32: 'winget install Rustlang.Rustup',
  },
  cc: {
    what: 'a C and C++ compiler',
    linux: 'sudo apt-get install build-essential   (or: sudo dnf group install development-tools)',
    darwin: 'xcode-select --install',
    win32: 'winget install Microsoft.VisualStudio.2022.BuildTools',
  },
}

/** Ends the process with one clear line for each missing tool. */
export function requireToolchain() {
  const missing = Object.keys(REMEDIES).filter((tool) => !isThere(tool))
  if (missing.length === 0) return
  for (const tool of missing) {
    const remedy = REMEDIES[tool]
    console.error(`Espalier needs ${remedy.what} (no such \`${tool}\` was found). Install it with:`)
    console.error(`  ${remedy[process.platform] ?? remedy.linux}`)
  }
  process.exit(1)
}

function isThere(tool) {
  // On Windows the compiler is found by the Rust toolchain itself, not on the path.
  if (tool === 'cc' && process.platform === 'win32') return true
  const { status, stdout } = spawnSync(tool, ['--version'], { encoding: 'utf8' })
  return status === 0 && (tool !== 'cargo' || isNewEnough(stdout))
}

/** Whether `cargo 1.95.0 (…)` can build the workspace. */
function isNewEnough(text) {
  const [major, minor] = (/(\d+)\.(\d+)/.exec(text) ?? []).slice(1).map(Number)
  return major > RUST_VERSION[0] || (major === RUST_VERSION[0] && minor >= RUST_VERSION[1])
}
