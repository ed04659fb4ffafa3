// What the figures were taken on and with.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { bench, newerNode, root } from './paths.mjs'

export function machine() {
  const cpus = os.cpus()
  return {
    cpu: cpus[0]?.model ?? 'unknown',
    cores: cpus.length,
    memoryGiB: Number((os.totalmem() / 2 ** 30).toFixed(1)),
    kernel: `${os.type()} ${os.release()}`,
    // What else the machine was doing: figures taken under load say little.
    loadBefore: Number((os.loadavg()[0] ?? 0).toFixed(2)),
  }
}

/** Versions of everything that stands in a row; `not installed` where a peer is missing. */
export function versions() {
  const { dependencies, optionalDependencies } = json(join(bench, 'peers', 'package.json'))
  const peers = Object.keys({ ...dependencies, ...optionalDependencies }).map((name) => {
    return [name, versionOf(join(bench, 'peers', 'node_modules', name, 'package.json'))]
  })
  return {
    espalier: `${json(join(root, 'package.json')).version} (${output('git', ['rev-parse', '--short', 'HEAD'])})`,
    node: process.version,
    'newer node': newerVersion(),
    rustc: output('rustc', ['--version']).replace(/^rustc /, ''),
    ...crates(),
    'better-sqlite3': versionOf(join(root, 'node_modules', 'better-sqlite3', 'package.json')),
    ...Object.fromEntries(peers),
  }
}

function newerVersion() {
  try {
    return output(newerNode(), ['--version'])
  } catch {
    return 'none'
  }
}

/** The pins of the plain native program, which are those of the project. */
function crates() {
  const manifest = readFileSync(join(bench, 'native', 'Cargo.toml'), 'utf8')
  const names = ['aws-lc-rs', 'blake3', 'quinn', 'rustls', 'rusty_erasure']
  return Object.fromEntries(
    names.map((name) => [name, new RegExp(`^${name} = .*?"=([^"]+)"`, 'm').exec(manifest)?.[1] ?? 'unknown']),
  )
}

function versionOf(path) {
  try {
    return json(path).version
  } catch {
    return 'not installed'
  }
}

function output(command, args) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8' })
  return done.status === 0 ? done.stdout.trim() : 'unknown'
}

function json(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}
