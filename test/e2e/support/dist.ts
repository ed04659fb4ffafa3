import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type * as DemoNetworkModule from '../../../ts/cli/demo/demo-network.ts'
import type * as IndexModule from '../../../ts/index.ts'

const DIST = fileURLToPath(new URL('../../../dist/', import.meta.url))

/** The compiled command line. */
export const MAIN = join(DIST, 'cli', 'main.js')

/** The address of a compiled module, for `import` in a child's program. */
export function distUrl(path: string): string {
  return pathToFileURL(join(DIST, path)).href
}

/** What users import, compiled: the sources can't run because the database's worker is a file of dist. */
export async function loadIndex(): Promise<typeof IndexModule> {
  return (await import(/* @vite-ignore */ distUrl('index.js'))) as typeof IndexModule
}

/** The network of processes that `espalier demo` runs. */
export async function loadDemoNetwork(): Promise<typeof DemoNetworkModule> {
  return (await import(/* @vite-ignore */ distUrl('cli/demo/demo-network.js'))) as typeof DemoNetworkModule
}
