import { join } from 'node:path'
import type { Outcome, Project } from './project.ts'
import { WORKSHOP } from './tools.ts'

/**
 * `npx espalier build-native` in a project. What cargo compiled for one project is kept for the next; the crates of
 * other authors come from cargo's own cache, which the build of this repository has filled.
 */
export function buildFromSource(project: Project): Promise<Outcome> {
  const kept = join(WORKSHOP, 'target')
  return project.exec(['espalier', 'build-native', '--offline', '--target-dir', kept])
}
