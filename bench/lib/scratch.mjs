// A directory on the disk of the repository: the system's temporary directory is often in memory, where
// fsync costs nothing.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './paths.mjs'

/** Makes one; it is removed when this process ends. */
export function scratchDirectory() {
  mkdirSync(join(root, 'build'), { recursive: true })
  const directory = mkdtempSync(join(root, 'build', 'bench-'))
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))
  return directory
}
