import { createHash } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename } from 'node:path'
import { manifestOf, type Manifest } from './tarball.ts'

/** A registry on loopback that knows a few tarballs and nothing else. */
export interface Registry {
  readonly url: string
  /** Names of the tarballs that were fetched. Bounded by the requests of one test. */
  readonly fetched: string[]
  /** Requests for anything that is not here. Bounded like `fetched`. */
  readonly refused: string[]
  close(): Promise<void>
}

interface Entry {
  readonly manifest: Manifest
  readonly file?: string
}

/**
 * Serves each tarball as a published version, as `npm publish` would have listed it. What is `listed` has no tarball,
 * like the addons of other platforms: a request for it is refused.
 */
export async function openRegistry(
  tarballs: readonly string[],
  listed: readonly Manifest[] = [],
): Promise<Registry> {
  const entries: Entry[] = [
    ...tarballs.map((file) => ({ manifest: manifestOf(file), file })),
    ...listed.map((manifest) => ({ manifest })),
  ]
  const files = new Map(tarballs.map((file) => [`/tarballs/${basename(file)}`, file]))
  const fetched: string[] = []
  const refused: string[] = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent((request.url ?? '/').split('?', 1)[0] ?? '/')
    const file = files.get(path)
    if (request.method === 'GET' && file !== undefined) {
      fetched.push(basename(file))
      createReadStream(file).pipe(response)
      return
    }
    const versions = entries.filter(({ manifest }) => `/${manifest.name}` === path)
    if (request.method === 'GET' && versions.length > 0) {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(packument(versions, addressOf(server))))
      return
    }
    refused.push(`${request.method ?? ''} ${path}`)
    response.statusCode = 404
    response.end('{}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: addressOf(server),
    fetched,
    refused,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function packument(versions: readonly Entry[], url: string): unknown {
  const last = versions.toSorted((a, b) => compareVersions(a.manifest.version, b.manifest.version)).at(-1)
  return {
    name: last?.manifest.name,
    'dist-tags': { latest: last?.manifest.version },
    versions: Object.fromEntries(versions.map((entry) => [entry.manifest.version, versionOf(entry, url)])),
    time: Object.fromEntries(
      versions.map(({ manifest }) => [manifest.version, new Date(2026, 0, 1).toISOString()]),
    ),
  }
}

function versionOf({ manifest, file }: Entry, url: string): unknown {
  const scripts = manifest.scripts ?? {}
  const hasInstallScript = ['preinstall', 'install', 'postinstall'].some((name) => name in scripts)
  const name = file === undefined ? `absent-${manifest.name}.tgz` : basename(file)
  // npm refuses a tarball without a digest in some modes; one that is not here is never compared.
  const bytes = file === undefined ? Buffer.alloc(0) : readFileSync(file)
  return {
    ...manifest,
    ...(hasInstallScript ? { hasInstallScript } : {}),
    dist: {
      tarball: `${url}tarballs/${name}`,
      integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
      shasum: createHash('sha1').update(bytes).digest('hex'),
    },
  }
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

/** Release versions only: three numbers. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number))
  for (let index = 0; index < 3; index += 1) {
    const difference = (left?.[index] ?? 0) - (right?.[index] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
