import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const SCRIPT = fileURLToPath(new URL('../../scripts/sim.mjs', import.meta.url))

test('a good scenario ends with 0, tells its figures, and repeats exactly in fresh processes', () => {
  const [first, second] = [1, 2].map(() => sim('self-check', '--seeds', '1..2', '--nodes', '6', '--json'))
  const runs = linesOf(first!.stdout)

  expect(first, first!.stderr).toMatchObject({ status: 0, stderr: '' })
  expect(runs).toHaveLength(2)
  for (const { broken, figures } of runs) {
    expect(broken).toEqual([])
    expect(figures).toEqual({ 'nodes that know others': 6 })
  }
  const hashes = (output: string) => linesOf(output).map(({ seed, traceHash }) => `${seed} ${traceHash}`)
  expect(hashes(second!.stdout).sort()).toEqual(hashes(first!.stdout).sort())
  expect(new Set(runs.map(({ traceHash }) => traceHash)).size).toBe(2)
}, 120_000)

test('a broken promise ends with 1 and the command that plays it again', () => {
  const { status, stdout } = sim('self-check', '--seed', 'break it', '--nodes', '3')

  expect(status).toBe(1)
  expect(stdout).toContain('BROKEN: the seed break it asks for it')
  expect(stdout).toContain("again: npm run sim -- self-check --seed 'break it' --nodes 3")
})

test('an unknown scenario and a bad number end with 2', () => {
  expect(sim('nothing-of-the-kind')).toMatchObject({ status: 2, stdout: '' })
  expect(sim('steady', '--nodes', 'many')).toMatchObject({ status: 2, stdout: '' })
  expect(sim('steady', '--seeds', '9..1')).toMatchObject({ status: 2, stdout: '' })
})

interface Line {
  readonly seed: string
  readonly broken: readonly string[]
  readonly figures: Readonly<Record<string, number>>
  readonly traceHash: string
}

function sim(...words: string[]) {
  return spawnSync(process.execPath, [SCRIPT, ...words, '--no-build'], { encoding: 'utf8' })
}

function linesOf(output: string): Line[] {
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}
