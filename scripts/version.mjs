// `npm version 1.2.3` runs this: what else carries the version of package.json gets it. It also makes the folders
// below npm/ anew by @napi-rs/cli, so that they always say what package.json and scripts/targets.mjs say.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './install.mjs'
import { localProgram, runProgram } from './pack/run.mjs'
import { LICENCES, readJson, writeJson } from './pack/stage.mjs'
import { TARGETS } from './targets.mjs'

const manifest = readJson(join(root, 'package.json'))
const { version } = manifest

edit('Cargo.toml', (text) => replaced(text, /(\[workspace\.package\]\nversion = ")[^"]*/, version))
edit('Cargo.lock', (text) => replaced(text, /(name = "espalier-[a-z]+"\nversion = ")[^"]*/g, version))
const bundle = join(root, 'npm', 'prebuilds', 'package.json')
writeJson(bundle, { ...readJson(bundle), version })

runProgram(localProgram('napi'), ['create-npm-dirs'])
for (const { name } of TARGETS) {
  const path = join(root, 'npm', name, 'package.json')
  const { keywords, name: packageName, version: sameVersion, type, ...platform } = readJson(path)
  writeJson(path, {
    name: packageName,
    version: sameVersion,
    // The CLI leaves the kind of module open, and publint asks for it.
    type: 'commonjs',
    ...platform,
    description: `The native addon of Espalier for ${name}.`,
    files: [...platform.files.filter((file) => file.endsWith('.node')), ...LICENCES],
  })
}
console.log(`every manifest has version ${version}`)

function edit(name, change) {
  const path = join(root, name)
  writeFileSync(path, change(readFileSync(path, 'utf8')))
}

function replaced(text, pattern, value) {
  if (!pattern.test(text)) throw new Error(`there is no ${pattern}`)
  return text.replace(pattern, `$1${value}`)
}
