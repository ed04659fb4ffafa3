import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const repository = fileURLToPath(new URL('../..', import.meta.url))

/** A module of `scripts/`, which is plain JavaScript: `Exports` says what the test uses of it. */
export async function loadScript<Exports>(path: string): Promise<Exports> {
  return (await import(pathToFileURL(join(repository, 'scripts', path)).href)) as Exports
}

/** One of the platforms of `scripts/targets.mjs`. */
export interface Target {
  readonly name: string
  readonly triple: string
  readonly os: string
  readonly cpu: string
  readonly libc?: string
}

/** What `scripts/targets.mjs` gives. */
export interface Targets {
  readonly TARGETS: readonly Target[]
  readonly hostTarget: () => Target | undefined
  readonly libraryName: (target: Pick<Target, 'os'>) => string
}

export const targets = await loadScript<Targets>('targets.mjs')
