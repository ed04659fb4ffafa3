#!/usr/bin/env node
// Stands in for node-gyp when prebuildify calls it (`--node-gyp scripts/cargo-node-gyp.mjs`): cargo builds the addon for
// the platform that prebuildify names in its environment, into the folder where prebuildify looks for it.
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { buildAddon } from './cargo-build.mjs'
import { hostTarget, TARGETS } from './targets.mjs'

const {
  PREBUILD_PLATFORM: os,
  PREBUILD_ARCH: cpu,
  PREBUILD_LIBC: libc,
  ESPALIER_PACK_CROSS: cross,
} = process.env
const wanted = os === 'linux' ? (libc === 'musl' ? 'musl' : 'gnu') : undefined
const target = TARGETS.find((one) => one.os === os && one.cpu === cpu && one.libc === wanted)
if (!target) {
  console.error(`there is no target for ${os}, ${cpu}, ${libc}`)
  process.exit(1)
}
// A folder with an older addon would be taken for the new one.
const output = join(process.cwd(), 'build', 'Release')
rmSync(output, { recursive: true, force: true })
mkdirSync(output, { recursive: true })
try {
  const isHost = target.name === hostTarget()?.name && cross !== '1'
  copyFileSync(buildAddon(isHost ? {} : { target }), join(output, 'espalier.node'))
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
