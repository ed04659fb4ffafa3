// Programs that packing starts: a failure is an error that carries what they said.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from '../install.mjs'

/** Runs a program and returns its standard output. Throws with its output when it fails. */
export function runProgram(command, args, { cwd = root, env = {}, show = false } = {}) {
  const done = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', show ? 2 : 'pipe', show ? 2 : 'pipe'],
    // npm and the programs of packages are .cmd files on Windows, which need a shell.
    shell: process.platform === 'win32',
  })
  if (done.error) throw new Error(`${command} could not be started: ${done.error.message}`)
  if (done.status !== 0) {
    throw new Error(
      `${command} ${args[0] ?? ''} ended with ${done.signal ?? done.status}\n${done.stdout ?? ''}${done.stderr ?? ''}`,
    )
  }
  return done.stdout ?? ''
}

/** The path of a program that a development dependency brings. */
export function localProgram(name) {
  return join(root, 'node_modules', '.bin', name)
}
