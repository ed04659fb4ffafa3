import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { repository } from './build-script.ts'

interface Component {
  readonly name: string
  readonly version: string
  readonly purl: string
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[]
  readonly licenses?: readonly unknown[]
}

interface Bill {
  readonly bomFormat: string
  readonly metadata: { readonly component: { readonly name: string; readonly purl: string } }
  readonly components: readonly Component[]
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[]
}

interface Locked {
  readonly version?: string
  readonly dev?: boolean
  readonly integrity?: string
}

function billOfMaterials(): Bill {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-bill-test-'))
  try {
    const file = join(folder, 'bill.json')
    execFileSync(process.execPath, [join(repository, 'scripts', 'bill-of-materials.mjs'), file])
    return JSON.parse(readFileSync(file, 'utf8')) as Bill
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const bill = billOfMaterials()
const lock = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8')) as {
  packages: Readonly<Record<string, Locked>>
}

describe("the release's bill of materials of npm", () => {
  test('names the published package', () => {
    const { version } = lock.packages[''] ?? {}

    expect(bill.bomFormat).toBe('CycloneDX')
    expect(bill.metadata.component.name).toBe('espalier')
    expect(bill.metadata.component.purl).toBe(`pkg:npm/espalier@${String(version)}`)
  })

  test('lists every package that is installed with it, and none that only builds or tests it', () => {
    const installed = Object.entries(lock.packages)
      .filter(([path, { dev }]) => path !== '' && dev !== true)
      .map(
        ([path, { version }]) => `${path.slice(path.lastIndexOf('node_modules/') + 13)}@${String(version)}`,
      )

    expect(installed.length).toBeGreaterThan(2)
    expect(bill.components.map(({ name, version }) => `${name}@${version}`).sort()).toEqual(installed.sort())
  })

  test('gives each its licence and the digest that the lock file has', () => {
    const digests = new Map(
      Object.entries(lock.packages).map(([path, { integrity }]) => [path, integrity] as const),
    )
    const wrong = bill.components.filter(({ name, hashes, licenses }) => {
      const digest = hashes?.find(({ alg }) => alg === 'SHA-512')?.content
      const listed =
        digest === undefined ? undefined : `sha512-${Buffer.from(digest, 'hex').toString('base64')}`
      return (licenses ?? []).length === 0 || listed !== digests.get(`node_modules/${name}`)
    })

    expect(wrong).toEqual([])
  })

  test('says who needs whom', () => {
    const known = new Set(bill.dependencies.map(({ ref }) => ref))
    const needed = bill.dependencies.flatMap(({ dependsOn }) => dependsOn ?? [])
    const ours = bill.dependencies.find(({ ref }) => ref.startsWith('espalier@'))?.dependsOn ?? []

    expect(ours.map((ref) => ref.replace(/@[^@]+$/, '')).sort()).toEqual(['better-sqlite3', 'prom-client'])
    expect(needed.filter((ref) => !known.has(ref))).toEqual([])
  })
})
