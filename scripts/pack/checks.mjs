// What must hold for everything that is packed. Each check returns the sentences of what is wrong.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { root } from '../install.mjs'
import { GLIBC_FLOOR, MACOS_FLOOR } from '../targets.mjs'
import { isNewer, newest, readElf } from './elf.mjs'
import { readMachO } from './macho.mjs'
import { readPe } from './pe.mjs'

/** Bounds of what a user downloads and keeps: the addon, and the core package unpacked. */
export const MAX_ADDON_BYTES = 9 * 1024 * 1024
export const MAX_CORE_BYTES = 2 * 1024 * 1024

/** What Node calls when it has loaded an addon. */
const ENTRY = 'napi_register_module_v1'

/** Libraries that every machine with a Node has. */
const LINUX_LIBRARIES = /^(lib(c|m|pthread|dl|rt|gcc_s)\.so(\.\d+)?|ld-.*|libc\.musl-.*)$/
const MACOS_LIBRARIES = /^\/(usr\/lib|System\/Library\/Frameworks)\//
/** Those of Windows itself. Visual C++'s runtime is not among them: it is there only where somebody installed it. */
const WINDOWS_LIBRARIES =
  /^(kernel32|ntdll|advapi32|bcrypt|bcryptprimitives|crypt32|secur32|userenv|ws2_32|iphlpapi|ole32|psapi|api-ms-win-core-.*)\.dll$/i

/** Scripts that package managers run, skip or fail on when somebody installs a package. */
const INSTALL_SCRIPTS = [
  'preinstall',
  'install',
  'postinstall',
  'prepare',
  'prepublish',
  'preprepare',
  'postprepare',
]

/** Paths of the building machine in an addon. */
export function pathsIn(bytes, paths = buildPaths()) {
  return paths
    .filter((path) => bytes.includes(path))
    .map((path) => `it holds the path ${path} of the building machine`)
}

/**
 * The newest glibc that a Linux addon needs, or `undefined`. Read from the file, and compared with what objdump says
 * where objdump is there and knows the file.
 */
export function glibcOf(path) {
  const { versions } = readElf(readFileSync(path))
  const own = newest(versions, 'GLIBC')
  const objdump = spawnSync('objdump', ['-T', path], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  if (objdump.status === 0) {
    const theirs = newest([...new Set(objdump.stdout.match(/GLIBC_[0-9.]+/g) ?? [])], 'GLIBC')
    if (theirs !== own)
      throw new Error(`objdump finds GLIBC ${theirs} in ${path}, the file's own table says ${own}`)
  }
  return own
}

/** Why an addon can't be published, as sentences. */
export function portabilityFaults(target, path) {
  const bytes = readFileSync(path)
  const { read, libraries: known, faults } = SYSTEMS[target.os]
  const { cpu, libraries, exported, ...rest } = read(bytes)
  return [
    ...(cpu === target.cpu ? [] : [`it is for ${cpu}`]),
    ...(exported.includes(ENTRY) ? [] : [`it has no ${ENTRY}`]),
    ...faults(target, rest, path),
    ...libraries.filter((name) => !known.test(name)).map((name) => `it needs ${name}`),
  ]
}

const SYSTEMS = {
  linux: { read: readElf, libraries: LINUX_LIBRARIES, faults: linuxFaults },
  darwin: { read: readMachO, libraries: MACOS_LIBRARIES, faults: macFaults },
  win32: { read: readPe, libraries: WINDOWS_LIBRARIES, faults: () => [] },
}

function linuxFaults({ libc }, { versions }, path) {
  if (libc === 'musl') {
    const needsGlibc = versions.some((version) => version.startsWith('GLIBC_'))
    return needsGlibc ? ['it needs glibc, and is for musl'] : []
  }
  const glibc = glibcOf(path)
  const isTooNew = glibc !== undefined && isNewer(glibc, GLIBC_FLOOR)
  return isTooNew ? [`it needs glibc ${glibc}, above ${GLIBC_FLOOR}`] : []
}

/** macOS kills a process that maps unsigned code on arm64; a signature without a name is enough. */
function macFaults({ cpu }, { isSigned, minimumMacOs }) {
  const isTooNew = minimumMacOs === undefined || isNewer(minimumMacOs, MACOS_FLOOR)
  return [
    ...(isSigned || cpu !== 'arm64' ? [] : ['it has no code signature']),
    ...(isTooNew ? [`it needs macOS ${minimumMacOs}, above ${MACOS_FLOOR}`] : []),
  ]
}

/** What no package of ours may have. `files` are paths inside the tarball. */
export function manifestFaults(manifest, files) {
  return [
    ...INSTALL_SCRIPTS.filter((name) => manifest.scripts?.[name] !== undefined).map(
      (name) => `it has the script ${name}`,
    ),
    ...(manifest.gypfile ? ['it has gypfile'] : []),
    ...files.filter((file) => file.endsWith('binding.gyp')).map((file) => `it holds ${file}`),
    ...files
      .filter((file) => /(^|\/)(node_modules|target|\.env|\.npmrc)(\/|$)/.test(file))
      .map((file) => `it holds ${file}`),
  ]
}

/** Whether the packages agree on one version and one repository, and the core names exactly the platform packages that were packed. */
export function versionFaults(core, others) {
  const wrong = others.filter(({ version }) => version !== core.version)
  const platforms = others.map(({ name }) => name).filter((name) => name !== 'espalier-prebuilds')
  const named = core.optionalDependencies ?? {}
  return [
    ...wrong.map(({ name, version }) => `${name} has version ${version}, the core ${core.version}`),
    ...others
      .filter(({ repository }) => repository?.url !== core.repository?.url)
      .map(({ name }) => `${name} names another repository than the core`),
    ...platforms
      .filter((name) => named[name] !== core.version)
      .map((name) => `the core does not name ${name}@${core.version}`),
    ...Object.keys(named)
      .filter((name) => !platforms.includes(name))
      .map((name) => `the core names ${name}, which was not packed`),
  ]
}

function buildPaths() {
  const cargoHome = process.env.CARGO_HOME ?? join(homedir(), '.cargo')
  return [...new Set([root, `${homedir()}/`, cargoHome, '/.cargo/registry/', '/.rustup/'])].filter(
    (path) => path.length > 2,
  )
}
