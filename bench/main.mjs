// `npm run bench`: the figures of docs/BENCHMARKS.md on this machine. Each group of figures is one file
// below groups/, with its goals as data; ours/ and peers/ hold the programs that are measured.
import { runGroup } from './lib/contest.mjs'
import { machine, versions } from './lib/machine.mjs'
import { readOptions } from './lib/options.mjs'
import { buildEspalier, buildNative, installPeers } from './lib/prepare.mjs'
import { markdownTable, notesOf, textTable } from './lib/table.mjs'

const options = readOptions(process.argv.slice(2))
if (options.build) buildEspalier()
buildNative()
installPeers()

const about = { machine: machine(), versions: versions() }
if (options.json) {
  print(JSON.stringify({ event: 'machine', ...about.machine }))
  print(JSON.stringify({ event: 'versions', ...about.versions }))
} else {
  print(introduction(about))
}
for (const name of options.groups) {
  const { default: group } = await import(`./groups/${name}.mjs`)
  const figures = group.figures.filter(({ what }) => what.includes(options.only))
  const results = []
  for await (const result of runGroup({ ...group, figures }, { ...options, onProgress: progress })) {
    progress('')
    results.push(result)
    if (options.json) print(JSON.stringify({ event: 'figure', ...result }))
  }
  if (!options.json && results.length > 0) show(name, results)
}
// A contestant's library may have left something running in this process's children; they are closed.
process.exit(0)

function introduction({ machine: on, versions: of }) {
  const facts = [
    `${on.cpu}, ${on.cores} cores, ${on.memoryGiB} GiB, ${on.kernel}; load before the run ${on.loadBefore}`,
    Object.entries(of)
      .map(([name, version]) => `${name} ${version}`)
      .join(' · '),
    `${options.rounds} interleaved rounds of ${options.seconds} s for each contestant; median (least–most)`,
  ]
  return options.markdown ? facts.map((fact) => `- ${fact}`).join('\n') : facts.join('\n')
}

function show(name, results) {
  const table = options.markdown ? markdownTable(results) : textTable(results)
  const title = options.markdown ? `\n### ${name}\n` : `\n${name.toUpperCase()}\n`
  print([title, table, '', ...notesOf(results)].join('\n'))
}

/** One line that redraws itself, on terminals only. */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text.slice(0, 100)}`)
}

function print(text) {
  process.stdout.write(`${text}\n`)
}
