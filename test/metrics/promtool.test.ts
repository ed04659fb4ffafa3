import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readExposition } from './exposition.ts'
import { makeWorld, type World } from './world.ts'

let world: World

beforeAll(async () => {
  world = await makeWorld()
})

afterAll(() => world.end())

test('the text of a node that has done something is what Prometheus expects', async () => {
  await world.b.put('name', Uint8Array.of(1))
  const { ref } = await world.a.objects.put(new Uint8Array(100_000))
  await world.b.objects.getBytes(ref)
  await expect(world.b.get('nothing')).resolves.toBeUndefined()

  for (const node of [world.a, world.b]) {
    const text = await node.metrics()
    const read = readExposition(text)

    expect(read.problems).toEqual([])
    expect(read.families.size).toBeGreaterThan(30)
    // The judge of Prometheus itself, where this machine has it. The reader above is the check that always runs.
    expect(judge(text)).toBe('')
  }
})

/** What `promtool check metrics` says; nothing where there is no promtool. */
function judge(text: string): string {
  const ran = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  if (ran.error !== undefined && 'code' in ran.error && ran.error.code === 'ENOENT') return ''
  return ran.status === 0 ? `${ran.stdout}${ran.stderr}` : `${ran.status}: ${ran.stdout}${ran.stderr}`
}
