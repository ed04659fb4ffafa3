import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EspalierError } from '../base/error.ts'
import type { Addon } from './addon.ts'

/** The native addon, loaded once. Throws `NATIVE_UNAVAILABLE` with every attempt. */
export function addon(): Addon {
  return (loaded ??= load())
}

let loaded: Addon | undefined

const require = createRequire(import.meta.url)
/** Both ts/native and dist/native lie two folders below the package. */
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
/** Node-API 9: Node.js ≥ 18.17 and ≥ 20.3. */
const MIN_NODE_API = 9
const ENVIRONMENT = ['ESPALIER_NATIVE_PATH', 'NAPI_RS_NATIVE_LIBRARY_PATH']

function load(): Addon {
  const nodeApi = Number(process.versions['napi'] ?? 0)
  if (nodeApi < MIN_NODE_API) {
    throw new EspalierError(
      'NATIVE_UNAVAILABLE',
      `this runtime has Node-API ${nodeApi}; Espalier needs ${MIN_NODE_API}, which Node.js has from 20.19 on`,
    )
  }
  const version = packageVersion()
  const attempts: string[] = []
  for (const target of candidates()) {
    try {
      const found = target.load() as Addon | undefined
      if (found === undefined) {
        attempts.push(`${target.name}: not there`)
        continue
      }
      const actual = found.version()
      if (actual === version) return found
      attempts.push(`${target.name}: it has version ${actual}, this package ${version}`)
    } catch (thrown) {
      attempts.push(`${target.name}: ${firstLine(thrown)}`)
    }
  }
  throw new EspalierError(
    'NATIVE_UNAVAILABLE',
    `the native addon could not be loaded:\n${attempts.map((attempt) => `  ${attempt}`).join('\n')}`,
    { details: { attempts } },
  )
}

interface Candidate {
  readonly name: string
  /** The addon, `undefined` when there is nothing, or an error. */
  readonly load: () => unknown
}

/** In the order of preference. */
function candidates(): readonly Candidate[] {
  const named = ENVIRONMENT.flatMap((variable) => {
    const path = process.env[variable]
    return path === undefined || path === ''
      ? []
      : [{ name: `${variable}=${path}`, load: () => loadFile(path) }]
  })
  const built = join(root, 'build', 'Release', 'espalier.node')
  return [
    ...named,
    { name: built, load: () => (existsSync(built) ? loadFile(built) : undefined) },
    ...[`espalier-${platform()}`, 'espalier-prebuilds'].map((name) => ({
      name,
      load: () => loadPackage(name),
    })),
  ]
}

function loadFile(path: string): unknown {
  return require(path)
}

function loadPackage(name: string): unknown {
  try {
    require.resolve(name)
  } catch {
    return undefined
  }
  return require(name)
}

function platform(): string {
  const { platform: system, arch } = process
  return system === 'linux' ? `linux-${arch}-${hasGlibc() ? 'gnu' : 'musl'}` : `${system}-${arch}`
}

function hasGlibc(): boolean {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: unknown } }
  return report.header?.glibcVersionRuntime !== undefined
}

function packageVersion(): string {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version?: unknown }
  return String(manifest.version)
}

function firstLine(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return message.split('\n', 1)[0] ?? ''
}
