import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { repository, targets } from './build-script.ts'

// A real build of the packed source takes minutes and is one of the five ways of the install test. Here a program
// that stands in for cargo hands out the addon of this tree, so that everything around the build can be tried.

const { hostTarget, libraryName } = targets
const host = hostTarget()!
const built = join(repository, 'build', 'Release', 'espalier.node')
const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string }
let folder = ''
let home = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'espalier-build-native-'))
  home = join(folder, 'package with a space')
  for (const name of ['dist', 'scripts', 'package.json', 'Cargo.toml']) {
    cpSync(join(repository, name), join(home, name), { recursive: true })
  }
  symlinkSync(join(repository, 'node_modules'), join(home, 'node_modules'))
  mkdirSync(join(folder, 'bin'))
  program('cc', 'echo cc')
  installCargo(built)
})

afterEach(() => {
  chmodSync(home, 0o755)
  rmSync(folder, { recursive: true })
})

test('the addon goes into the package, loads, and leaves nothing else behind', () => {
  const { status, stdout, stderr } = buildNative(['--json', '--offline'])

  const path = join(home, 'build', 'Release', 'espalier.node')
  expect(status, stderr).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ event: 'built', path, version })
  expect(readFileSync(path).equals(readFileSync(built))).toBe(true)
  expect(existsSync(`${path}.cargo`)).toBe(false)
  expect(seenByCargo()).toMatchObject({
    args: 'build --release --locked -p espalier-binding --offline',
    flags: expect.stringContaining(`--remap-path-prefix=${home}=espalier\u001F`) as string,
    jitter: '1',
  })
})

test('a package that can not be written sends the addon to the cache of the user, where it is found', () => {
  // Root may write anywhere, so a file stands where the folder would be.
  writeFileSync(join(home, 'build'), '')

  // With a umask that lets the group write, too: the loader would refuse such a file.
  const { status, stderr, stdout } = buildNative(['--json'], { umask: 0o002 })

  expect(status, stderr).toBe(0)
  const { path } = JSON.parse(stdout) as { path: string }
  expect(path).toContain(join(version, host.name, 'espalier.node'))
  expect(path.startsWith(folder)).toBe(true)
  const hash = "require('espalier-under-test').addon().version()"
  const program = hash.replace('espalier-under-test', join(home, 'dist', 'native', 'load.js'))
  expect(run(process.execPath, ['-p', program]).stdout.trim()).toBe(version)
})

test('--out names the place, and --target-dir keeps what cargo did', () => {
  const out = join(folder, 'elsewhere', 'mine.node')
  const kept = join(folder, 'kept')

  expect(buildNative(['--out', out, '--target-dir', kept]).status).toBe(0)

  expect(readFileSync(out).equals(readFileSync(built))).toBe(true)
  expect(existsSync(join(kept, 'release', libraryName(host)))).toBe(true)
  expect(existsSync(join(home, 'build'))).toBe(false)
})

test('a place in which no file can be made is wrong use', () => {
  const { status, stdout } = buildNative(['--json', '--out', join(home, 'package.json', 'mine.node')])

  expect(status).toBe(2)
  expect(JSON.parse(stdout)).toMatchObject({ event: 'error', code: 'INVALID_ARGUMENT' })
})

test('what is missing is named, each with the command that installs it', () => {
  for (const [tool, text] of [
    ['cargo', 'Rust 1.'],
    ['cc', 'C and C++ compiler'],
  ] as const) {
    const path = join(folder, 'bin', tool)
    const kept = readFileSync(path)
    rmSync(path)

    const { status, stdout, stderr } = buildNative(['--json'])

    expect(status).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({ event: 'error', code: 'NATIVE_UNAVAILABLE' })
    expect(stderr).toContain(text)
    writeFileSync(path, kept, { mode: 0o755 })
  }
})

test('a Rust that is too old is named before anything is built', () => {
  installCargo(built, { cargoVersion: '1.94.9' })
  expect(buildNative([]).stderr).toContain('Rust 1.95 or newer')

  installCargo(built, { cargoVersion: '2.0.0' })
  expect(buildNative([]).status).toBe(0)
})

test('an addon that does not load is an error with a code', () => {
  const broken = join(folder, 'broken')
  writeFileSync(broken, 'no library')
  installCargo(broken)

  const { status, stdout } = buildNative(['--json'])

  expect(status).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({ event: 'error', code: 'NATIVE_UNAVAILABLE' })
})

test('a build that fails keeps its folder for the next attempt', () => {
  program(
    'cargo',
    'if [ "$1" = --version ]; then echo cargo 1.95.0; exit; fi; mkdir -p "$CARGO_TARGET_DIR"; exit 101',
  )

  expect(buildNative([]).status).toBe(1)

  expect(existsSync(join(home, 'build', 'Release', 'espalier.node.cargo'))).toBe(true)
  expect(existsSync(join(home, 'build', 'Release', 'espalier.node'))).toBe(false)
})

/** A cargo that says its version and "builds" by handing out `addon`. */
function installCargo(addon: string, { cargoVersion = '1.95.0' } = {}): void {
  copyFileSync(addon, join(folder, 'addon'))
  program(
    'cargo',
    [
      `if [ "$1" = --version ]; then echo "cargo ${cargoVersion} (0 2026-01-01)"; exit; fi`,
      'mkdir -p "$CARGO_TARGET_DIR/release"',
      `cp "${join(folder, 'addon')}" "$CARGO_TARGET_DIR/release/${libraryName(host)}"`,
      `printf '%s\\n%s\\n%s\\n' "$*" "$CARGO_ENCODED_RUSTFLAGS" "$AWS_LC_SYS_NO_JITTER_ENTROPY" > "${join(folder, 'seen')}"`,
    ].join('\n'),
  )
}

function seenByCargo(): { args: string; flags: string; jitter: string } {
  const [args = '', flags = '', jitter = ''] = readFileSync(join(folder, 'seen'), 'utf8').split('\n')
  return { args, flags, jitter }
}

function program(name: string, body: string): void {
  writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
}

function buildNative(words: readonly string[], { umask = 0o022 } = {}) {
  const main = join(home, 'dist', 'cli', 'main.js')
  const program = `umask ${umask.toString(8)}; exec "$@"`
  return run('/bin/sh', ['-c', program, 'sh', process.execPath, main, 'build-native', ...words])
}

function run(command: string, args: readonly string[]) {
  const cache = join(folder, 'cache')
  return spawnSync(command, args, {
    encoding: 'utf8',
    env: {
      // Nothing but the stand-ins and the system's own small programs.
      PATH: [join(folder, 'bin'), tools()].join(delimiter),
      HOME: cache,
      XDG_CACHE_HOME: cache,
    },
  })
}

/** A folder with mkdir, cp and printf, and neither cargo nor a compiler. */
function tools(): string {
  const target = join(folder, 'tools')
  if (existsSync(target)) return target
  mkdirSync(target)
  for (const name of ['mkdir', 'cp', 'printf', 'sh']) {
    const where = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim()
    if (where.startsWith('/')) symlinkSync(where, join(target, name))
  }
  return target
}
