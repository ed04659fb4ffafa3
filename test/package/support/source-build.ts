import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Outcome, Project } from './project.ts'
import { ROOT, WORKSHOP } from './tools.ts'

/**
 * Where projects that build from source are made, one after another: cargo starts afresh when the sources lie elsewhere.
 * Outside of the repository, whose node_modules an empty project must not see, and one for each clone.
 */
export const SOURCE_PLACE = join(
  tmpdir(),
  `espalier-source-${createHash('sha256').update(ROOT).digest('hex').slice(0, 8)}`,
)

const KEPT = join(WORKSHOP, 'target')

/**
 * `npx espalier build-native` in a project. What cargo compiled for one project is kept for the next one of the same
 * run; the crates of other authors come from cargo's own cache, which the build of this repository has filled.
 */
export function buildFromSource(project: Project): Promise<Outcome> {
  return project.exec(['espalier', 'build-native', '--offline', '--target-dir', KEPT])
}

/**
 * So that the first project of a run compiles. Every file of a tarball is as old as any other, and cargo, which goes by
 * the age of files, would take what it made of last week's sources for what it makes of today's.
 */
export function forgetSourceBuilds(): void {
  rmSync(KEPT, { recursive: true, force: true })
}
