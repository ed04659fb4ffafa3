// `node scripts/smoke.mjs DIR`: installs the packages of DIR for this machine into an empty project, without scripts, and
// runs the README's first example there. Other packages come from the registry that npm is set to.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { root } from './install.mjs'
import { runProgram } from './pack/run.mjs'
import { hostTarget } from './targets.mjs'

const EXPECTED = 'an apple tree on a lattice\n'

const folder = resolve(process.argv[2] ?? join(root, 'build', 'packages'))
const { packages } = JSON.parse(readFileSync(join(folder, 'packages.json'), 'utf8'))
const host = hostTarget()
const wanted = ['espalier', `espalier-${host?.name}`].map((name) => {
  const found = packages.find((one) => one.name === name)
  if (!found) throw new Error(`${folder} has no ${name}`)
  return join(folder, found.tarball)
})
const example = /^```ts\n([\s\S]*?)^```$/m.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1] ?? ''

const project = mkdtempSync(join(tmpdir(), 'espalier-smoke-'))
try {
  writeFileSync(join(project, 'package.json'), '{ "private": true }\n')
  writeFileSync(join(project, 'example.mjs'), example)
  runProgram('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', ...wanted], {
    cwd: project,
    show: true,
  })
  const printed = runProgram(process.execPath, ['example.mjs'], { cwd: project })
  if (printed !== EXPECTED) throw new Error(`the example printed ${JSON.stringify(printed)}`)
  console.log(`${host.name} on Node ${process.versions.node}: installed, and the example runs`)
} finally {
  rmSync(project, { recursive: true, force: true })
}
