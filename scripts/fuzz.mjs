// `npm run fuzz -- TARGET --seconds N`: libFuzzer over one target of fuzz/, or over `all` one after the other. Needs
// nightly Rust and cargo-fuzz; the same targets run on stable Rust in `npm test`, by seeded mutation. `--keep` takes what
// reached something new into the corpus of the repository.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { root, run } from './install.mjs'

/** A corpus is replayed in every test run and lives in the repository. */
const MAX_CORPUS_BYTES = 100_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' }, keep: { type: 'boolean', default: false } },
})
const targets = readdirSync(join(root, 'fuzz', 'fuzz_targets')).map((file) => file.replace(/\.rs$/, ''))
const [wanted] = positionals
const seconds = Number(values.seconds)
if (positionals.length !== 1 || !(wanted === 'all' || targets.includes(wanted)) || !(seconds > 0)) {
  console.error(
    `npm run fuzz -- TARGET [--seconds N] [--keep]\nTARGET is all or one of: ${targets.join(', ')}`,
  )
  process.exit(2)
}
requireFuzzer()

const rows = []
for (const target of wanted === 'all' ? targets : [wanted]) rows.push(fuzz(target))
console.table(rows)

/** One target for its time; ends the process when something was found. */
function fuzz(target) {
  const work = join(root, 'build', 'fuzz', target)
  const corpus = join(root, 'fuzz', 'corpus', target)
  mkdirSync(corpus, { recursive: true })
  run('cargo', ['run', '--quiet', '--locked', '-p', 'espalier-fuzz', '--example', 'seeds', target, work])
  const output = libFuzzer(target, [work, corpus], [`-max_total_time=${seconds}`, '-print_final_stats=1'])
  if (values.keep) keep(target, { work, corpus })
  // `#123 DONE cov: 45 ft: 67 …`, then `stat::number_of_executed_units: 123`.
  const [, edges, features] = /#\d+\s+DONE\s+cov: (\d+) ft: (\d+)/.exec(output) ?? []
  const [, executions] = /stat::number_of_executed_units:\s*(\d+)/.exec(output) ?? []
  return { target, seconds, executions: Number(executions), edges: Number(edges), features: Number(features) }
}

/** Merges the smallest inputs first, and drops the largest until the corpus has its size. */
function keep(target, { work, corpus }) {
  const merged = `${work}-merged`
  rmSync(merged, { recursive: true, force: true })
  mkdirSync(merged, { recursive: true })
  libFuzzer(target, [merged, corpus, work], ['-merge=1'])
  rmSync(corpus, { recursive: true })
  mkdirSync(corpus)
  const files = readdirSync(merged)
    .map((name) => ({ name, bytes: statSync(join(merged, name)).size }))
    .sort((a, b) => a.bytes - b.bytes)
  let left = MAX_CORPUS_BYTES
  for (const { name, bytes } of files) {
    left -= bytes
    if (left < 0) break
    // libFuzzer names a file by the hash of what is in it.
    copyFileSync(join(merged, name), join(corpus, name.slice(0, 16)))
  }
}

function libFuzzer(target, folders, options) {
  const args = [
    '+nightly',
    'fuzz',
    'run',
    '--dev',
    '--features',
    'libfuzzer',
    target,
    ...folders,
    '--',
    ...options,
  ]
  const done = spawnSync('cargo', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'inherit', 'pipe'] })
  process.stderr.write(done.stderr)
  if (done.status !== 0) {
    console.error(
      `${target}: libFuzzer ended with ${done.signal ?? done.status}; the input lies in fuzz/artifacts`,
    )
    process.exit(1)
  }
  return done.stderr
}

function requireFuzzer() {
  const remedies = [
    [['+nightly', '--version'], 'nightly Rust', 'rustup toolchain install nightly'],
    [['fuzz', '--version'], 'cargo-fuzz', 'cargo install cargo-fuzz --locked'],
  ]
  for (const [args, what, remedy] of remedies) {
    if (spawnSync('cargo', args, { cwd: root, stdio: 'ignore' }).status === 0) continue
    console.error(`fuzzing needs ${what}: ${remedy}`)
    process.exit(1)
  }
}
