// The addon of each target, built once and laid out as prebuildify does. The platform packages take the same files,
// so that one digest stands for both.
import { chmodSync, copyFileSync, existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from '../install.mjs'
import { localProgram, runProgram } from './run.mjs'

/**
 * Builds the addon of `target` into `folder` by prebuildify, with cargo standing in for node-gyp, and returns its path.
 * `cross` builds with zig even for this machine: only then is the glibc floor kept.
 */
export function buildPrebuild(target, folder, { cross, env = {} }) {
  const args = ['--napi', '--tag-libc', '--name', 'espalier', '--cwd', folder]
  args.push('--platform', target.os, '--arch', target.cpu)
  const standIn = join(root, 'scripts', 'cargo-node-gyp.mjs')
  // On Windows prebuildify asks a shell, which runs no .mjs file, and would cut a flag at its space.
  const isWindows = process.platform === 'win32'
  if (!isWindows) args.push('--node-gyp', standIn)
  // What zig links is stripped by its linker: the strip of this machine does not know foreign files.
  if (!cross) args.push('--strip')
  runProgram(localProgram('prebuildify'), args, {
    show: true,
    env: {
      ...env,
      PREBUILD_LIBC: prebuildLibc(target),
      ...(isWindows ? { PREBUILD_NODE_GYP: `node "${standIn}"` } : {}),
      ...(cross ? { ESPALIER_PACK_CROSS: '1', CARGO_PROFILE_RELEASE_STRIP: 'symbols' } : {}),
    },
  })
  return withFixedMode(prebuildPath(target, folder))
}

/** Takes an addon that was built elsewhere (`espalier.<target>.node` in `from`) into the layout of prebuildify. */
export function takePrebuild(target, folder, from) {
  const source = join(from, artifactName(target))
  if (!existsSync(source)) throw new Error(`${source} is not there`)
  const path = prebuildPath(target, folder)
  mkdirSync(dirname(path), { recursive: true })
  copyFileSync(source, path)
  return withFixedMode(path)
}

/** Where prebuildify puts an addon; ts/native/load.ts and node-gyp-build look there. */
export function prebuildPath(target, folder) {
  return join(folder, 'prebuilds', `${target.os}-${target.cpu}`, `espalier.${prebuildLibc(target)}.node`)
}

/** What @napi-rs/cli calls the addon of a target. */
export function artifactName(target) {
  return `espalier.${target.name}.node`
}

/** A mode that does not depend on umask or on how a file came here: it is part of the tarball's bytes. */
function withFixedMode(path) {
  chmodSync(path, 0o644)
  return path
}

/** prebuildify tags every platform but musl as glibc, also macOS and Windows. */
function prebuildLibc({ libc }) {
  return libc === 'musl' ? 'musl' : 'glibc'
}
