import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { runChild } from './child.ts'

const LONG = process.env['ESPALIER_LONG'] === '1'
/** Of the quick ones; slower ones are called less often. */
const CALLS = LONG ? 100_000 : 10_000
const CONNECTIONS = LONG ? 10_000 : 1000
const MIB = 1_048_576
/** Bytes that a call may keep for ever. */
const MAX_PER_CALL = 50
/** What the allocator does at will in a part of a run: a leak of MAX_PER_CALL is larger in the long run. */
const NOISE = LONG ? 0 : MIB / 2

interface Report {
  readonly slopes: Readonly<Record<string, number>>
  readonly calls: Readonly<Record<string, number>>
  readonly externals: Readonly<Record<string, number>>
  readonly rounds: readonly {
    readonly rss: number
    readonly fds: number
    readonly threads: number
    readonly handles: number
  }[]
}

function middle(rounds: Report['rounds']): number {
  return rounds.map(({ rss }) => rss).sort((a, b) => a - b)[1] ?? Number.NaN
}

test(
  'no call keeps memory, and connections leave no descriptor, thread or handle behind',
  async () => {
    const root = fileURLToPath(new URL('../../', import.meta.url))
    const folder = mkdtempSync(join(tmpdir(), 'espalier-leaks-'))
    try {
      const program = join(root, 'test', 'bridge', 'leak-child.mjs')
      const words = ['--expose-gc', program, join(root, 'dist'), folder, String(CALLS), String(CONNECTIONS)]
      const ended = await runChild(words, { timeoutMs: LONG ? 1_800_000 : 180_000 })

      expect(ended, ended.stderr).toMatchObject({ code: 0, signal: null, stderr: '' })
      const { slopes, calls, externals, rounds } = JSON.parse(ended.stdout) as Report
      const leaking = Object.entries(slopes).filter(
        ([name, slope]) => slope > MAX_PER_CALL + NOISE / (calls[name] ?? 1),
      )
      expect(leaking).toEqual([])
      expect(Object.keys(slopes).length).toBeGreaterThan(25)
      expect(Object.entries(externals).filter(([, bytes]) => Math.abs(bytes) > MIB)).toEqual([])

      const [held, stillHeld] = [rounds.at(-2)!, rounds.at(-1)!].map((round) => ({ ...round, rss: 0 }))
      expect(stillHeld).toEqual(held)
      // The middle of three rounds, because the allocator gives back and takes more at will. One connection of each
      // side takes some 100 KiB while it lives; a session that both sides remember 5 KiB, of the first 4,096.
      const grown = middle(rounds.slice(4)) - middle(rounds.slice(1, 4))
      expect(grown / ((3 * CONNECTIONS) / 4)).toBeLessThan(LONG ? 2048 : 16_384)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
  LONG ? 1_900_000 : 200_000,
)
