import { createRequire } from 'node:module'
import { EspalierError } from '../base/error.ts'
import { addonFiles, BUNDLE, packageVersion, platform, type AddonFile } from './addon-file.ts'
import type { Addon } from './addon.ts'

/**
 * The native addon, loaded once. It is looked for in the file that `ESPALIER_NATIVE_PATH` or
 * `NAPI_RS_NATIVE_LIBRARY_PATH` names, in a local build, in the package of this platform and in the bundle.
 * Throws `NATIVE_UNAVAILABLE` with every attempt and with what to do.
 */
export function addon(): Addon {
  return (loaded ??= load())
}

let loaded: Addon | undefined

const require = createRequire(import.meta.url)
/** Node-API 9: Node.js ≥ 18.17 and ≥ 20.3. */
const MIN_NODE_API = 9

function load(): Addon {
  // Before any file is opened: an addon of a newer Node-API ends the process instead of throwing.
  const nodeApi = Number(process.versions['napi'] ?? 0)
  if (nodeApi < MIN_NODE_API) {
    throw new EspalierError(
      'NATIVE_UNAVAILABLE',
      `this runtime has Node-API ${nodeApi}; Espalier needs ${MIN_NODE_API}, which Node.js has from 20.19 on`,
    )
  }
  const version = packageVersion()
  const attempts: string[] = []
  for (const file of addonFiles()) {
    const outcome = attempt(file, version)
    if (typeof outcome !== 'string') return outcome
    attempts.push(`${file.name}: ${outcome}`)
  }
  throw new EspalierError(
    'NATIVE_UNAVAILABLE',
    [
      `the native addon for ${platform()} could not be loaded:`,
      ...attempts.map((line) => `  ${line}`),
      ...remedies(version),
    ].join('\n'),
    { details: { attempts, platform: platform() } },
  )
}

/** The addon, or why not. */
function attempt({ path, refusal }: AddonFile, version: string): Addon | string {
  if (path === undefined) return 'not there'
  try {
    const refused = refusal(path)
    if (refused !== undefined) return refused
    const found = require(path) as Addon
    const actual = found.version()
    return actual === version ? found : `it has version ${actual}, this package ${version}`
  } catch (thrown) {
    return firstLine(thrown)
  }
}

function remedies(version: string): readonly string[] {
  return [
    `Install it again with its optional dependencies (npm install espalier@${version} --include=optional),`,
    `or add the bundle of all platforms (npm install ${BUNDLE}@${version}),`,
    'or build it here, with Rust and a C compiler (npx espalier build-native).',
  ]
}

function firstLine(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return message.split('\n', 1)[0] ?? ''
}
