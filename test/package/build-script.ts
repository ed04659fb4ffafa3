import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const repository = fileURLToPath(new URL('../..', import.meta.url))

/** A module of `scripts/`, which is plain JavaScript: `Exports` says what the test uses of it. */
export async function loadScript<Exports>(path: string): Promise<Exports> {
  return (await import(pathToFileURL(join(repository, 'scripts', path)).href)) as Exports
}
