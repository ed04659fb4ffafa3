// Builds and installs what the chosen groups need, once.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { bench, nativeProgram, nativeTransport, root } from './paths.mjs'

/** Ends the process when Espalier itself cannot be built: without it there is nothing to measure. */
export function buildEspalier() {
  const addon = join(root, 'build', 'Release', 'espalier.node')
  if (isOlder(addon, ['crates', 'Cargo.lock'])) run('npm', ['run', '--silent', 'build:native'])
  if (isOlder(join(root, 'dist', 'cli', 'main.js'), ['ts'])) {
    // The compiler leaves alone what has not changed; the mark is that it ran at all.
    run('npm', ['run', '--silent', 'build:ts'])
  }
}

/** The native programs. Without them the rows say why, and the other contestants still run. */
export function buildNative() {
  const sources = ['bench/native/src', 'bench/native/Cargo.toml', 'bench/native/Cargo.lock']
  buildProgram('espalier-bench-native', { program: nativeProgram, sources })
  const ofOurs = [...sources, 'bench/native/espalier', 'crates/core', 'crates/transport', 'Cargo.toml']
  buildProgram('espalier-bench-transport', { program: nativeTransport, sources: ofOurs })
}

/** Each by itself: together, cargo would give both the features that either of them wants. */
function buildProgram(name, { program, sources }) {
  if (!isOlder(program, sources)) return
  say(`building ${name} (first run only)`)
  spawnSync('cargo', ['build', '--release', '--locked', '-p', name], {
    cwd: join(bench, 'native'),
    stdio: ['ignore', 2, 2],
    // Without it the first random call of a process waits 40-60 ms for jitter entropy.
    env: { ...process.env, AWS_LC_SYS_NO_JITTER_ENTROPY: '1' },
  })
}

/** The other libraries. One that fails to install is missing later, and its rows say so. */
export function installPeers() {
  const directory = join(bench, 'peers')
  const installed = join(directory, 'node_modules', '.package-lock.json')
  if (!isOlder(installed, ['bench/peers/package.json', 'bench/peers/package-lock.json'])) return
  say('installing the other libraries (first run only)')
  const npm = (words) => {
    const args = [...words, '--no-audit', '--no-fund', '--loglevel=error']
    const shell = process.platform === 'win32'
    return spawnSync('npm', args, { cwd: directory, stdio: ['ignore', 2, 2], shell }).status === 0
  }
  // `ci` wants every platform's packages in the lock file, which not every registry offers; `install`
  // takes the same pinned versions and is content with those of this platform.
  if (!npm(['ci'])) npm(['install', '--no-save'])
}

function run(command, args) {
  say(`${command} ${args.join(' ')}`)
  const done = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (done.status !== 0) {
    say('Espalier could not be built')
    process.exit(1)
  }
}

function isOlder(product, sources) {
  if (!existsSync(product)) return true
  const builtMs = statSync(product).mtimeMs
  return sources.some((source) => newestMs(join(root, source)) > builtMs)
}

function newestMs(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(0, ...readdirSync(path).map((name) => newestMs(join(path, name))))
}

function say(text) {
  process.stderr.write(`${text}\n`)
}
