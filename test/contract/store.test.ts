import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { openDatabase } from '../../ts/storage/database.ts'
import { SimDisk } from '../../ts/sim/disk.ts'
import { World } from '../../ts/sim/world.ts'
import { memoryStore } from '../../ts/storage/memory.ts'
import { describeStore } from './store.ts'

const folder = mkdtempSync(join(tmpdir(), 'espalier-store-'))
let opened = 0

afterAll(() => rmSync(folder, { recursive: true }))

describeStore('the database', (clock) =>
  openDatabase(join(folder, `${++opened}.db`), { clock, ballastBytes: 0 }),
)
describeStore('memory', (clock) => Promise.resolve(memoryStore({ clock })))
describeStore('the simulated disk', (clock) => {
  const world = new World({ seed: 'store' })
  return Promise.resolve(new SimDisk(world, { rng: world.rng.split('disk'), clock }).open())
})
