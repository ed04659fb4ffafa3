// What a build needs beside Node, and how to get what is missing.
import { spawnSync } from 'node:child_process'

const REMEDIES = {
  cargo: {
    what: 'Rust 1.95 or newer',
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
    console.error(`Espalier needs ${remedy.what} (no working \`${tool}\` was found). Install it with:`)
    console.error(`  ${remedy[process.platform] ?? remedy.linux}`)
  }
  process.exit(1)
}

function isThere(tool) {
  // On Windows the compiler is found by the Rust toolchain itself, not on the path.
  if (tool === 'cc' && process.platform === 'win32') return true
  return spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0
}
