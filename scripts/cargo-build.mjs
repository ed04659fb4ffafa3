// One release build of the addon: by cargo for this machine, by cargo-zigbuild for another one.
import { spawnSync } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hostTarget, libraryName, MACOS_FLOOR } from './targets.mjs'

/** Between the flags of CARGO_ENCODED_RUSTFLAGS. */
const SEPARATOR = '\u001F'
const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/**
 * Builds the addon and returns the path of the library. Without `target` it is for this machine, and nothing but cargo
 * and a C compiler is needed. `cargoArgs` are passed on (`--offline`). Throws when cargo fails.
 */
export function buildAddon({ target, targetDir = targetFolder(), cargoArgs = [] } = {}) {
  const zig = target?.zig
  if (target && !zig) throw new Error(`${target.name} can only be built on ${target.os}`)
  const args = [
    zig ? 'zigbuild' : 'build',
    '--release',
    '--locked',
    '-p',
    'espalier-binding',
    ...(zig ? ['--target', zig] : []),
    ...cargoArgs,
  ]
  const done = spawnSync('cargo', args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...buildEnvironment({ target, targetDir }) },
  })
  if (done.error) throw new Error(`cargo could not be started: ${done.error.message}`)
  if (done.status !== 0) throw new Error(`cargo ${args[0]} ended with ${done.signal ?? done.status}`)
  const library = join(
    targetDir,
    ...(zig ? [target.triple] : []),
    'release',
    libraryName(target ?? hostOrThrow()),
  )
  if (!existsSync(library)) throw new Error(`cargo finished, but ${library} is not there`)
  return library
}

/** Where cargo puts what it builds. */
export function targetFolder() {
  return process.env.CARGO_TARGET_DIR || join(root, 'target')
}

function buildEnvironment({ target, targetDir }) {
  const os = target?.os ?? process.platform
  const rustFlags = [
    ...(process.env.CARGO_ENCODED_RUSTFLAGS?.split(SEPARATOR) ?? process.env.RUSTFLAGS?.split(/\s+/) ?? []),
    ...pathPrefixes(targetDir).map(([from, to]) => `--remap-path-prefix=${from}=${to}`),
    // A musl addon is loaded by a Node that brings its own musl.
    ...(target?.libc === 'musl' ? ['-Ctarget-feature=-crt-static'] : []),
    // Not every Windows has the runtime of Visual C++; Node carries its own, too.
    ...(os === 'win32' ? ['-Ctarget-feature=+crt-static'] : []),
  ]
  return {
    CARGO_TARGET_DIR: targetDir,
    // Without it the first random call of a process waits 40-60 ms for jitter entropy.
    AWS_LC_SYS_NO_JITTER_ENTROPY: '1',
    // What the C compiler and the linker would take instead is the system of the day.
    ...(os === 'darwin' ? { MACOSX_DEPLOYMENT_TARGET: MACOS_FLOOR } : {}),
    // RUSTFLAGS would be cut at the spaces of a path.
    CARGO_ENCODED_RUSTFLAGS: rustFlags.filter(Boolean).join(SEPARATOR),
  }
}

/**
 * Paths of the building machine, and what stands for them in panic messages. C needs none: aws-lc-sys maps its own
 * paths, and pqcrypto's sources never name theirs; `npm run pack:all` looks for both in what it packs.
 */
function pathPrefixes(targetDir) {
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo')
  const isInside = !relative(root, targetDir).startsWith('..')
  const pairs = [[root, 'espalier'], [cargoHome, 'cargo'], ...(isInside ? [] : [[targetDir, 'target']])]
  // A folder behind a symbolic link has two names; rustc may print either.
  return pairs.flatMap(([from, to]) =>
    real(from) === from
      ? [[from, to]]
      : [
          [from, to],
          [real(from), to],
        ],
  )
}

function real(path) {
  return existsSync(path) ? realpathSync(path) : path
}

function hostOrThrow() {
  const host = hostTarget()
  if (!host) throw new Error(`${process.platform} on ${process.arch} is no platform that Espalier knows`)
  return host
}
