// The words after `npm run bench --`.

export const GROUPS = ['crypto', 'erasure', 'transport', 'storage', 'objects', 'dht']

const FLAGS = ['--quick', '--json', '--markdown', '--only', '--rounds', '--seconds', '--no-build', '--help']

const USAGE = `usage: npm run bench -- [${GROUPS.join('] [')}] [--quick] [--json | --markdown] [--no-build]
                        [--only TEXT] [--rounds N] [--seconds N]

  Runs the groups that are named, or all. Every figure is taken beside a plain native program and other
  libraries in interleaved rounds; the median is shown with the least and the most.

  --quick       3 rounds of a fraction of a second: for a look, not for a record
  --json        one JSON object a line: machine, versions, then one for each figure
  --markdown    the tables as docs/BENCHMARKS.md has them
  --only TEXT   only figures whose name contains TEXT
  --rounds N    rounds that count, 1 to 99 (default 7, --quick 3)
  --seconds N   length of a contestant's turn, 0.02 to 60 (default 0.7, --quick 0.1)
  --no-build    take dist/ and the addon as they are`

/** Ends the process with what is allowed when a word is not understood. */
export function readOptions(words) {
  const options = { groups: [], json: false, markdown: false, build: true, only: '', quick: false }
  const queue = [...words]
  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (word === '--help' || word === '-h') leave(0, USAGE)
    else if (word === '--quick') options.quick = true
    else if (word === '--json') options.json = true
    else if (word === '--markdown') options.markdown = true
    else if (word === '--no-build') options.build = false
    else if (word === '--only') options.only = queue.shift() ?? leave(2, '--only needs a text')
    else if (word === '--rounds') options.rounds = numberOf(word, queue.shift(), { min: 1, max: 99 })
    else if (word === '--seconds') options.seconds = numberOf(word, queue.shift(), { min: 0.02, max: 60 })
    else if (GROUPS.includes(word)) options.groups.push(word)
    else
      leave(
        2,
        `${JSON.stringify(word)} is neither a group nor a flag; ${nearest(word)} is the nearest\n\n${USAGE}`,
      )
  }
  if (options.json && options.markdown) leave(2, 'take one of --json and --markdown')
  const chosen = GROUPS.filter((group) => options.groups.length === 0 || options.groups.includes(group))
  return {
    ...options,
    groups: chosen,
    rounds: Math.round(options.rounds ?? (options.quick ? 3 : 7)),
    seconds: options.seconds ?? (options.quick ? 0.1 : 0.7),
  }
}

function numberOf(flag, text, { min, max }) {
  const number = Number(text)
  if (text === undefined || !(number >= min && number <= max)) {
    leave(2, `${flag} takes a number from ${min} to ${max}, not ${JSON.stringify(text ?? '')}`)
  }
  return number
}

function nearest(word) {
  return [...GROUPS, ...FLAGS].sort((a, b) => distance(word, a) - distance(word, b))[0]
}

/** Edits that turn one word into the other. */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries()) {
      next.push(Math.min(row[j] + (letter === other ? 0 : 1), row[j + 1] + 1, next[j] + 1))
    }
    row = next
  }
  return row.at(-1)
}

function leave(code, text) {
  const output = code === 0 ? process.stdout : process.stderr
  output.write(`${text}\n`)
  process.exit(code)
}
