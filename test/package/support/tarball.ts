import { execFileSync } from 'node:child_process'

/** What these tests read of a package.json. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly repository?: { readonly type: string; readonly url: string }
  readonly gypfile?: boolean
  readonly napi?: { readonly targets: readonly string[] }
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
  readonly files?: readonly string[]
}

/** The package.json inside a tarball. */
export function manifestOf(tarball: string): Manifest {
  return JSON.parse(textIn(tarball, 'package.json')) as Manifest
}

/** The text of one file of a package. */
export function textIn(tarball: string, path: string): string {
  return tar(['-xzOf', tarball, `package/${path}`]).toString()
}

/** Paths of all files of a package, sorted. */
export function filesIn(tarball: string): string[] {
  return tar(['-tzf', tarball])
    .toString()
    .split('\n')
    .filter((line) => line !== '' && !line.endsWith('/'))
    .map((line) => line.replace(/^package\//, ''))
    .sort()
}

function tar(args: readonly string[]): Buffer {
  return execFileSync('tar', args, { maxBuffer: 256 * 1024 * 1024 })
}
