// `npm run sim -- SCENARIO [--seed S | --seeds A..B] [--nodes N]`: plays a scenario of ts/sim/scenarios in virtual time.
// Every seed is a process of its own, as many at once as there are cores. A run that breaks a promise of the product
// prints the command that plays it again, and the exit code is 1. `--json` prints one line for each run.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { pathToFileURL } from 'node:url'
import { root } from './install.mjs'

const folder = join(root, 'dist', 'sim', 'scenarios')
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    nodes: { type: 'string' },
    json: { type: 'boolean', default: false },
    // Where drawings are written; without it they are not.
    draw: { type: 'boolean', default: false },
    // The compiled files are taken as they are.
    'no-build': { type: 'boolean', default: false },
    // One run for a parent that reads the line of JSON.
    worker: { type: 'boolean', default: false },
  },
})
if (!values['no-build'] && !values.worker) build()
const names = existsSync(folder)
  ? readdirSync(folder).flatMap((file) => file.match(/^(.*)\.js$/)?.[1] ?? [])
  : []
const [name] = positionals
if (positionals.length !== 1 || !names.includes(name)) usage()
const { scenario } = await import(pathToFileURL(join(folder, `${name}.js`)).href)
const nodes = wholeNumber(values.nodes ?? String(scenario.nodes), '--nodes')

if (values.worker) {
  const played = await playHere(values.seed)
  process.stdout.write(`${JSON.stringify(played)}\n`)
} else {
  const runs = await playAll(seedsOf(values))
  if (!values.json) show(runs)
  process.exitCode = runs.some(({ broken }) => broken.length > 0) ? 1 : 0
}

/** All seeds, in processes; each is told when it ends. */
async function playAll(seeds) {
  const runs = []
  const waiting = [...seeds.entries()]
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [at, seed] = next
      const run = await playInChild(seed)
      runs[at] = run
      if (values.json) process.stdout.write(`${JSON.stringify({ scenario: name, ...run })}\n`)
      else tell(run)
    }
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), seeds.length) }, work))
  return runs
}

/** A run that ends its process, whatever way, is a broken promise too. */
function playInChild(seed) {
  const args = [process.argv[1], name, '--worker', '--seed', seed, '--nodes', String(nodes)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text))
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      const replay = `npm run sim -- ${name} --seed ${quoted(seed)} --nodes ${nodes}`
      if (code === 0) {
        resolve({ seed, replay, ...JSON.parse(output) })
      } else {
        const broken = [`the run ended with ${signal ?? `exit code ${code}`}`]
        resolve({ seed, replay, figures: {}, broken, traceHash: '' })
      }
    })
  })
}

async function playHere(seed) {
  const startedAtMs = performance.now()
  const isWatched = process.stderr.isTTY
  const progress = (text) => isWatched && process.stderr.write(`\r\u001b[K${name} ${seed}: ${text}`)
  const played = await scenario.play({ seed, nodes, progress })
  if (isWatched) process.stderr.write('\r\u001b[K')
  const seconds = Math.round((performance.now() - startedAtMs) / 100) / 10
  const { user, system } = process.cpuUsage()
  const cpuSeconds = Math.round((user + system) / 1e5) / 10
  return { ...played, nodes, seconds, cpuSeconds, maxMiB: Math.round(process.resourceUsage().maxRSS / 1024) }
}

function tell(run) {
  const cost =
    run.seconds === undefined ? '' : `, ${run.seconds} s (${run.cpuSeconds} s CPU), ${run.maxMiB} MiB`
  console.log(`${name}, seed ${run.seed}, ${nodes} nodes${cost}, trace ${run.traceHash.slice(0, 16)}`)
  if (scenario.report === undefined) {
    for (const [figure, value] of Object.entries(run.figures)) console.log(`  ${figure}: ${value}`)
  }
  for (const fault of run.broken) console.log(`  BROKEN: ${fault}`)
  if (run.broken.length > 0) console.log(`  again: ${run.replay}`)
}

function show(runs) {
  const good = runs.filter(({ broken }) => broken.length === 0)
  if (scenario.report === undefined || good.length === 0) return
  const { text, drawings } = scenario.report(good)
  console.log(`\n${text}`)
  for (const [path, drawing] of Object.entries(drawings)) {
    if (!values.draw) {
      console.log(`--draw writes ${path}`)
      continue
    }
    writeFileSync(join(root, path), drawing)
    console.log(`drawn: ${path}`)
  }
}

/** `--seeds 1..8`, `--seed anything`, or 1. */
function seedsOf({ seed, seeds }) {
  if (seeds === undefined) return [seed ?? '1']
  const [, first, last] = /^(\d+)\.\.(\d+)$/.exec(seeds) ?? usage()
  const count = Number(last) - Number(first) + 1
  if (!(count >= 1 && count <= 100_000)) usage()
  return Array.from({ length: count }, (_, at) => String(Number(first) + at))
}

function wholeNumber(text, option) {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number > 0) return number
  console.error(`${option} is a whole number from 1, not ${text}`)
  process.exit(2)
}

/** As a shell takes it for one word. */
function quoted(text) {
  return /^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

function build() {
  const done = spawnSync('npm', ['run', '--silent', 'build:ts'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (done.status !== 0) process.exit(1)
}

function usage() {
  console.error(
    'npm run sim -- SCENARIO [--seed S | --seeds A..B] [--nodes N] [--json] [--draw] [--no-build]\n' +
      `SCENARIO is one of: ${names.join(', ')}`,
  )
  process.exit(2)
}
