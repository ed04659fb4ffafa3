import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes, type NodeId } from '../../../../ts/base/identity.ts'
import { MAX_KNOWN_PROVIDERS, ProviderCache } from '../../../../ts/dht/provider-cache.ts'
import type { ProviderClaim } from '../../../../ts/dht/provider-record.ts'
import { encodeSummary } from '../../../../ts/dht/provider-summary.ts'
import { SummaryView } from '../../../../ts/dht/provider-view.ts'
import { deriveKey, hash } from '../../../../ts/native/hash.ts'
import { SeededRng } from '../../../../ts/sim/rng.ts'

const crypto = { hash, deriveKey: (context: string, material: Uint8Array) => deriveKey(context, material) }
const NOW = { nowMs: 1_000, nowUnixMs: 1_790_000_000_000 }
const LATER = { nowMs: 2_000, nowUnixMs: NOW.nowUnixMs + 1_000 }
const ROOT = rootOf(1)

describe('the places of a root', () => {
  test('are 64, and who holds one with a good announcement keeps it', () => {
    const cache = full()

    expect(take(cache, 64)).toBe('full')
    expect(cache.providers(ROOT, NOW.nowUnixMs).length).toBe(MAX_KNOWN_PROVIDERS)
    cache.delete(ROOT, id(3))
    expect(take(cache, 64)).toBe('new')
  })

  test('are free again when announcements have expired', () => {
    const cache = full()

    expect(take(cache, 64, LATER)).toBe('new')
    expect(cache.providers(ROOT, LATER.nowUnixMs).map(({ claim }) => claim.provider)).toEqual([id(64)])
  })

  test('are not held by those who lied', () => {
    const cache = full()
    cache.onLiar(id(5))
    cache.update(cache.get(ROOT, id(6))!, { retryAtMs: Infinity })

    expect([64, 65, 66].map((number) => take(cache, number))).toEqual(['new', 'new', 'full'])
  })

  test('are not held by those who gave no summary when they were asked', () => {
    const cache = full()
    const silent = cache.get(ROOT, id(7))!
    cache.update(silent, { retryAtMs: NOW.nowMs + 1 })
    // This one has given it, and is only late now.
    cache.update(cache.get(ROOT, id(8))!, { view: viewOf(8, 10), retryAtMs: NOW.nowMs + 1 })

    expect([64, 65].map((number) => take(cache, number))).toEqual(['new', 'full'])
    expect(cache.get(ROOT, id(7))).toBeUndefined()
    expect(cache.get(ROOT, id(8))).toBeDefined()
  })
})

describe('the memory of a reader', () => {
  test('is the sum of all that is known, and comes back to nothing', () => {
    const cache = new ProviderCache()
    expect(cache.bytes).toBe(0)
    for (const number of [1, 2, 3]) take(cache, number)
    const without = cache.bytes
    const view = viewOf(1, 1_000)
    cache.update(cache.get(ROOT, id(1))!, { view })
    expect(cache.bytes - without).toBe(view.bytes)
    expect(view.bytes).toBeGreaterThanOrEqual(1_000 * 4)

    const before = cache.bytes
    for (const missed of idsOf(10)) view.miss(missed)
    cache.update(cache.get(ROOT, id(1))!)
    expect(cache.bytes - before).toBe(10 * 128)
    cache.update(cache.get(ROOT, id(1))!, { view: undefined })
    expect(cache.bytes).toBe(without)
    for (const number of [1, 2, 3]) cache.delete(ROOT, id(number))
    expect(cache.bytes).toBe(0)
  })

  test('ends at its limit: other roots go first, then other summaries of the root', () => {
    const one = viewOf(1, 1_000).bytes
    const cache = new ProviderCache({ maxBytes: 4 * one })
    const other = rootOf(2)
    for (const number of [1, 2]) take(cache, number, NOW, other)
    for (const number of [1, 2]) {
      cache.update(cache.get(other, id(number))!, { view: viewOf(number, 1_000, other) })
    }
    for (let number = 1; number <= 8; number += 1) {
      take(cache, number)
      cache.update(cache.get(ROOT, id(number))!, { view: viewOf(number, 1_000) })
      expect(cache.bytes).toBeLessThanOrEqual(4 * one)
      expect(cache.get(ROOT, id(number))!.view).toBeDefined()
    }

    expect(cache.providers(other, NOW.nowUnixMs)).toEqual([])
    const known = cache.providers(ROOT, NOW.nowUnixMs)
    expect(known.length).toBe(8)
    expect(known.filter(({ view }) => view !== undefined).length).toBe(3)
  })

  test('forgets the root that was used least recently after 1,024 others', () => {
    const cache = new ProviderCache()
    for (let number = 0; number <= 1_024; number += 1) take(cache, 1, NOW, rootOf(number))
    const full = cache.bytes

    expect(cache.providers(rootOf(0), NOW.nowUnixMs)).toEqual([])
    expect(cache.providers(rootOf(1), NOW.nowUnixMs).length).toBe(1)
    take(cache, 1, NOW, rootOf(1_025))
    expect(cache.bytes).toBe(full)
  })
})

/** Every place is taken, until {@link LATER}. */
function full(): ProviderCache {
  const cache = new ProviderCache()
  for (let number = 0; number < MAX_KNOWN_PROVIDERS; number += 1) {
    expect(take(cache, number, NOW, ROOT, NOW.nowUnixMs)).toBe('new')
  }
  return cache
}

function take(cache: ProviderCache, number: number, now = NOW, root = ROOT, expiresUnixMs = now.nowUnixMs) {
  return cache.take({ ...claimOf(number, 1_000, root), expiresUnixMs }, { sequence: 1, ...now })
}

function claimOf(number: number, count: number, root: Uint8Array): ProviderClaim {
  const shape = { count, parameter: 11 }
  const provider = id(number)
  return { root, provider, epoch: 1, shape, hash: new Uint8Array(32), addresses: [], expiresUnixMs: 0 }
}

function viewOf(number: number, count: number, root = ROOT): SummaryView {
  const name = { root, provider: id(number), epoch: 1 }
  const { shape, hash: stated, segments } = encodeSummary(crypto, idsOf(count), name)
  const view = new SummaryView(crypto, { name, shape, hash: stated })
  view.setAll(segments)
  return view
}

function idsOf(count: number): Uint8Array[] {
  const rng = new SeededRng('ids')
  return Array.from({ length: count }, () => rng.bytes(32))
}

function id(number: number): NodeId {
  return nodeIdFromBytes(new Uint8Array(32).fill(number))
}

function rootOf(number: number): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, at) => number >> (8 * at))
}
