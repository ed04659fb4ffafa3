// The platforms that Espalier is packed for. `name` is what @napi-rs/cli calls one, and what the packages are called.

/**
 * `triple` is Rust's name; `os`, `cpu` and `libc` are Node's. `zig` is the target of `cargo zigbuild`, with the glibc
 * that the addon may need at most; `undefined` where zig has not what the linker needs.
 */
export const TARGETS = [
  linux('x64', 'gnu'),
  linux('arm64', 'gnu'),
  linux('x64', 'musl'),
  linux('arm64', 'musl'),
  { name: 'darwin-x64', triple: 'x86_64-apple-darwin', os: 'darwin', cpu: 'x64', zig: 'x86_64-apple-darwin' },
  {
    name: 'darwin-arm64',
    triple: 'aarch64-apple-darwin',
    os: 'darwin',
    cpu: 'arm64',
    zig: 'aarch64-apple-darwin',
  },
  { name: 'win32-x64-msvc', triple: 'x86_64-pc-windows-msvc', os: 'win32', cpu: 'x64' },
  { name: 'win32-arm64-msvc', triple: 'aarch64-pc-windows-msvc', os: 'win32', cpu: 'arm64' },
]

/** The oldest glibc that a published addon runs on (Debian 10, RHEL 8, Ubuntu 18.10). */
export const GLIBC_FLOOR = '2.28'

/** The oldest macOS: what the oldest supported Node itself needs. */
export const MACOS_FLOOR = '11.0'

/** The file that cargo makes for a target. */
export function libraryName({ os }) {
  return {
    linux: 'libespalier_binding.so',
    darwin: 'libespalier_binding.dylib',
    win32: 'espalier_binding.dll',
  }[os]
}

/** The target of this machine, or `undefined` where there is none. */
export function hostTarget() {
  const libc = process.platform === 'linux' ? hostLibc() : undefined
  return TARGETS.find(
    ({ os, cpu, libc: wanted }) => os === process.platform && cpu === process.arch && wanted === libc,
  )
}

/** One of {@link TARGETS} by its name; ends with an error that lists them. */
export function targetNamed(name) {
  const found = TARGETS.find((target) => target.name === name)
  if (found) return found
  throw new Error(`there is no target ${name}; there are ${TARGETS.map((target) => target.name).join(', ')}`)
}

function linux(cpu, libc) {
  const triple = `${cpu === 'x64' ? 'x86_64' : 'aarch64'}-unknown-linux-${libc}`
  return {
    name: `linux-${cpu}-${libc}`,
    triple,
    os: 'linux',
    cpu,
    libc,
    zig: libc === 'gnu' ? `${triple}.2.28` : triple,
  }
}

function hostLibc() {
  return process.report.getReport().header?.glibcVersionRuntime === undefined ? 'musl' : 'gnu'
}
