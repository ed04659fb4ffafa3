import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Project } from './project.ts'
import { lockedVersion, type NodeRuntime, WORKSHOP } from './tools.ts'

const ADDON = join('build', 'Release', 'better_sqlite3.node')
const FOLDER = join(WORKSHOP, 'sqlite')

/**
 * Environment in which the install script of better-sqlite3 12 takes what an earlier project compiled on this machine,
 * because compiling is a minute for each; empty when there is none yet. The script runs either way, and is what has to
 * be allowed.
 */
export function compiledSqlite(runtime: NodeRuntime): Readonly<Record<string, string>> {
  if (!existsSync(join(FOLDER, fileName(runtime)))) return {}
  return { npm_config_better_sqlite3_local_prebuilds: FOLDER }
}

/** So that the next project compiles again. */
export function forgetSqlite(): void {
  rmSync(FOLDER, { recursive: true, force: true })
}

/** Keeps what a project compiled, for `compiledSqlite`. */
export function keepSqlite(project: Project, runtime: NodeRuntime): void {
  const home = project.path('better-sqlite3')
  const kept = join(FOLDER, fileName(runtime))
  if (existsSync(kept) || !existsSync(join(home, ADDON))) return
  mkdirSync(FOLDER, { recursive: true })
  execFileSync('tar', ['-czf', kept, '-C', home, ADDON])
}

/** As prebuild-install looks for it in a folder of local binaries. */
function fileName({ node }: NodeRuntime): string {
  const modules = execFileSync(node, ['-p', 'process.versions.modules']).toString().trim()
  const version = lockedVersion('better-sqlite3')
  return `better-sqlite3-v${version}-node-v${modules}-${process.platform}-${process.arch}.tar.gz`
}
