import { describe, expect, test } from 'vitest'
import { SimDisk, type DiskFaults } from '../../../ts/sim/disk.ts'
import { BytePool } from '../../../ts/sim/byte-pool.ts'
import { World } from '../../../ts/sim/world.ts'

const KEY = Uint8Array.of(1)
const VALUE = Uint8Array.of(2, 3)

describe('a simulated disk', () => {
  test('keeps over a crash what was written, and has one process at a time', async () => {
    const { disk } = diskWith({})
    const store = disk.open()
    await store.write([{ table: 'meta', key: KEY, value: VALUE }])
    expect(() => disk.open()).toThrow(/another process/)

    disk.crash()

    await expect(store.get('meta', KEY)).rejects.toMatchObject({ code: 'CLOSED' })
    expect((await disk.open().get('meta', KEY))?.value).toEqual(VALUE)
  })

  test('a crash in the middle of a slow write leaves nothing of it', async () => {
    const { world, disk } = diskWith({ writeMs: 10 })
    const store = disk.open()
    await world.runUntil(store.write([{ table: 'meta', key: KEY, value: VALUE }]))
    const lost = store.write([{ table: 'meta', key: KEY, value: Uint8Array.of(9) }])
    lost.catch(() => undefined)
    await world.run(5)

    disk.crash()
    await world.run(100)

    await expect(lost).rejects.toMatchObject({ code: 'CLOSED' })
    expect((await disk.open().get('meta', KEY))?.value).toEqual(VALUE)
  })

  test('or leaves it torn, which is STORAGE_CORRUPT and never a wrong answer', async () => {
    const { world, disk } = diskWith({ writeMs: 10, tornRatio: 1 })
    await world.runUntil(disk.open().write([{ table: 'meta', key: KEY, value: VALUE }]))
    disk.crash()
    const store = disk.open()
    store.write([{ table: 'meta', key: KEY, value: Uint8Array.of(9) }]).catch(() => undefined)
    await world.run(5)

    disk.crash()

    await expect(disk.open().get('meta', KEY)).rejects.toMatchObject({ code: 'STORAGE_CORRUPT' })
  })

  test('a new row that was under way is torn as well, and one whose deletion was', async () => {
    const { world, disk } = diskWith({})
    await disk.open().write([{ table: 'meta', key: KEY, value: VALUE }])
    disk.crash()
    disk.setFaults({ writeMs: 10, tornRatio: 1 })
    const [absent, fresh] = [Uint8Array.of(8), Uint8Array.of(9)]
    const store = disk.open()
    store
      .write([
        { table: 'meta', key: KEY, value: undefined },
        { table: 'meta', key: absent, value: undefined },
        { table: 'meta', key: fresh, value: VALUE },
      ])
      .catch(() => undefined)
    await world.run(5)

    disk.crash()

    const again = disk.open()
    await expect(again.get('meta', KEY)).rejects.toMatchObject({ code: 'STORAGE_CORRUPT' })
    await expect(again.get('meta', fresh)).rejects.toMatchObject({ code: 'STORAGE_CORRUPT' })
    expect(await again.get('meta', absent)).toBeUndefined()
    expect(await again.count('meta')).toBe(2)
  })

  test.each([
    { writeMs: NaN },
    { writeMs: -1 },
    { writeMs: Infinity },
    { failRatio: 1.1 },
    { failRatio: NaN },
    { tornRatio: -0.1 },
    { isFull: 1 as unknown as boolean },
    { isfull: true } as DiskFaults,
  ])('faults of %j are refused, and those that there were stay', async (faults) => {
    const { disk } = diskWith({ isFull: true })

    expect(() => disk.setFaults(faults)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))

    const write = disk.open().write([{ table: 'meta', key: KEY, value: VALUE }])
    await expect(write).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  })

  test('a full disk takes deletions only, and a failing one changes nothing', async () => {
    const { disk } = diskWith({})
    const store = disk.open()
    await store.write([{ table: 'meta', key: KEY, value: VALUE }])

    disk.setFaults({ failRatio: 1 })
    const failed = store.write([{ table: 'meta', key: KEY, value: undefined }])
    await expect(failed).rejects.toMatchObject({ code: 'STORAGE_CORRUPT' })
    disk.setFaults({ isFull: true })
    const full = store.write([{ table: 'meta', key: Uint8Array.of(7), value: VALUE }])
    await expect(full).rejects.toMatchObject({ code: 'STORAGE_FULL' })
    expect(await store.count('meta')).toBe(1)
    await store.write([{ table: 'meta', key: KEY, value: undefined }])

    expect(await store.count('meta')).toBe(0)
  })
})

test('equal bytes are kept once, long runs of zeros as their length, and the unused are forgotten', () => {
  const pool = new BytePool()
  const long = Uint8Array.from({ length: 5_000 }, (_, at) => (at < 30 || at > 4_900 ? at & 255 : 0))
  const cases = [
    Uint8Array.of(),
    Uint8Array.of(0),
    new Uint8Array(64),
    new Uint8Array(65),
    long,
    Uint8Array.of(49, 59),
  ]

  const numbers = cases.map((bytes) => pool.hold(bytes))

  expect(numbers.map((number) => pool.bytes(number))).toEqual(cases)
  expect(cases.map((bytes) => pool.hold(bytes))).toEqual(numbers)
  for (const number of [...numbers, ...numbers]) pool.release(number)
  expect(cases.map((bytes) => pool.find(bytes))).toEqual(cases.map(() => undefined))
})

function diskWith(faults: DiskFaults) {
  const world = new World({ seed: 'disk' })
  const disk = new SimDisk(world, { rng: world.rng.split('disk') })
  disk.setFaults(faults)
  return { world, disk }
}
