import { createHash, randomBytes, randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { NodeProcess } from '../../ts/cli/demo/node-process.ts'
import type { EspalierNode } from '../../ts/index.ts'
import { loadDemoNetwork, loadIndex } from './support/dist.ts'

const ROUNDS = process.env['ESPALIER_LONG'] === '1' ? 200 : 20
const WRITERS = 4
const VALUE_NAMES = 8
// A holder keeps a bounded number of records of one owner; the long run would reach it.
const ROUNDS_PER_WRITER = 20

/** What the holder has acknowledged. */
class Acknowledged {
  /** SHA-256 by reference. */
  readonly objects = new Map<string, string>()
  /** Sequence by owner and name. */
  readonly values = new Map<string, number>()
}

let directory = ''
let holder: NodeProcess
let end: () => Promise<void>

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'espalier-kill-'))
  const { DemoNetwork } = await loadDemoNetwork()
  const network = await DemoNetwork.create({ size: 1 })
  end = () => network.end()
  holder = network.nodes[0]!
  await holder.start({ bootstrap: [] })
})

afterAll(async () => {
  await end()
  rmSync(directory, { recursive: true, force: true })
})

describe('a holder under write load', () => {
  test(
    `killed ${ROUNDS} times, it loses no shard and no record that it acknowledged`,
    async () => {
      const all = new Acknowledged()
      for (let round = 0; round < ROUNDS; round += 1) {
        const writer = `writer-${Math.floor(round / ROUNDS_PER_WRITER)}`
        const acknowledged = await writeUntilKilled(all, writer)
        await holder.start({ bootstrap: [] })
        await expectAllThere(all, acknowledged.objects)
      }

      expect(all.objects.size).toBeGreaterThan(ROUNDS)
      expect(all.values.size).toBe(VALUE_NAMES * Math.ceil(ROUNDS / ROUNDS_PER_WRITER))
      await expectAllThere(all, all.objects)
    },
    ROUNDS * 15_000,
  )
})

/** Writes from several loops, kills the holder in the midst, and answers what this round acknowledged. */
async function writeUntilKilled(all: Acknowledged, name: string): Promise<Acknowledged> {
  const round = new Acknowledged()
  const client = await startClient(name)
  let killed = false
  const isKilled = (): boolean => killed
  const loops = Array.from({ length: WRITERS }, async (_, writer) => {
    for (let turn = 0; !isKilled(); turn += 1) {
      const writing = writer === 0 ? putValue(client, turn, all) : putObject(client, round)
      const failure = await writing.then(
        () => undefined,
        (error: unknown) => error,
      )
      // Writes that the kill interrupts may fail; before it none may.
      if (!isKilled()) expect(failure).toBeUndefined()
    }
  })
  await new Promise((resolve) => setTimeout(resolve, randomInt(100, 500)))
  killed = true
  await holder.kill()
  await client.stop()
  await Promise.all(loops)
  for (const [ref, hash] of round.objects) all.objects.set(ref, hash)
  return round
}

async function putObject(client: EspalierNode, round: Acknowledged): Promise<void> {
  const bytes = randomBytes(randomInt(1, 150_000))
  const { ref } = await client.objects.put(bytes)
  round.objects.set(ref, sha256(bytes))
}

async function putValue(client: EspalierNode, turn: number, all: Acknowledged): Promise<void> {
  const name = `value-${turn % VALUE_NAMES}`
  const { sequence, accepted } = await client.put(name, randomBytes(64))
  if (accepted.includes(holder.id as EspalierNode['id'])) all.values.set(`${client.id} ${name}`, sequence)
}

/** Reads with another identity, which has nothing of its own to answer from. */
async function expectAllThere(all: Acknowledged, objects: ReadonlyMap<string, string>): Promise<void> {
  const reader = await startClient('reader')
  try {
    for (const [ref, hash] of objects) expect(sha256(await reader.objects.getBytes(ref))).toBe(hash)
    for (const [place, sequence] of all.values) {
      const [owner = '', name = ''] = place.split(' ')
      const found = await reader.get(name, { owner })
      expect(found?.sequence ?? -1, place).toBeGreaterThanOrEqual(sequence)
    }
  } finally {
    await reader.stop()
  }
}

async function startClient(name: string): Promise<EspalierNode> {
  const { createNode } = await loadIndex()
  const client = createNode({
    dataDir: join(directory, name),
    mode: 'clientOnly',
    hosts: ['127.0.0.1'],
    allowPrivate: true,
    bootstrap: [holder.peer],
  })
  await client.start()
  return client
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
