import { describe, expect, test } from 'vitest'
import { nodeIdFromBytes, type NodeId } from '../../../../ts/base/identity.ts'
import { Claims } from '../../../../ts/dht/provider-claims.ts'
import { encodeSummary } from '../../../../ts/dht/provider-summary.ts'
import { TestedIds } from '../../../../ts/dht/provider-tested.ts'
import { SummaryView } from '../../../../ts/dht/provider-view.ts'
import { deriveKey, hash } from '../../../../ts/native/hash.ts'
import { SeededRng } from '../../../../ts/sim/rng.ts'

const crypto = { hash, deriveKey: (context: string, material: Uint8Array) => deriveKey(context, material) }

describe('over-claiming', () => {
  test('is not shown by as many misses as chance makes, however many questions there are', () => {
    const [claims, view] = [new Claims(), viewOf(idsOf('set', 200))]
    let missed = 0
    for (const id of idsOf('strangers', 300_000)) {
      if (claims.ask(view, id).kind !== 'yes') continue
      missed += 1
      expect(claims.onMissed(view, id)).toBe(false)
    }

    // 146 are expected.
    expect(missed).toBeGreaterThan(100)
  })

  test('is not shown by the chance of many summaries, one after the other', () => {
    const claims = new Claims()
    const strangers = idsOf('strangers', 4_096)
    let missed = 0
    for (let epoch = 1; epoch <= 60; epoch += 1) {
      const view = viewOf(idsOf('set', 100), { epoch })
      const claimed = strangers.filter((id) => claims.ask(view, id).kind === 'yes')
      for (const id of claimed) expect(claims.onMissed(view, id)).toBe(false)
      missed += claimed.length
    }

    expect(missed).toBeGreaterThan(80)
  })

  test('is shown by a few misses among few questions, once for each provider', () => {
    const ids = idsOf('set', 100)
    const [claims, view] = [new Claims(), viewOf(ids)]
    const verdicts = ids.slice(0, 4).map((id) => {
      claims.ask(view, id)
      return claims.onMissed(view, id)
    })

    expect(verdicts).toEqual([false, true, false, false])
  })

  test('is shown when some of many that are claimed are missing', () => {
    const ids = idsOf('set', 5_000)
    const [claims, view] = [new Claims(), viewOf(ids)]
    for (const id of ids) claims.ask(view, id)
    const verdicts = ids.slice(0, 50).map((id) => claims.onMissed(view, id))

    expect(verdicts.filter(Boolean).length).toBe(1)
  })

  test('is not shown by misses whose questions were not counted, or by one miss that is told of again', () => {
    const ids = idsOf('set', 100)
    const [claims, view] = [new Claims(), viewOf(ids)]
    for (const id of ids) expect(claims.onMissed(view, id)).toBe(false)

    claims.ask(view, ids[0]!)
    for (let times = 0; times < 10; times += 1) expect(claims.onMissed(view, ids[0]!)).toBe(false)
    // The same summary, fetched again.
    const again = viewOf(ids)
    claims.ask(again, ids[0]!)
    expect(claims.onMissed(again, ids[0]!)).toBe(false)
  })

  test('of an id that was added by itself is shown by one miss', () => {
    const view = viewOf(idsOf('set', 10))
    const [added] = idsOf('added', 1)
    view.addDelta(0, [added!])

    expect(new Claims().onMissed(view, added!)).toBe(true)
  })

  test('forgets the provider that was told of least recently after 1,024 others', () => {
    const claims = new Claims()
    const miss = (number: number) => {
      const provider = nodeIdFromBytes(Uint8Array.from({ length: 32 }, (_, at) => number >> (8 * at)))
      const view = viewOf(idsOf('set', 1), { provider })
      const [added] = idsOf('added', 1)
      view.addDelta(0, [added!])
      return claims.onMissed(view, added!)
    }
    for (let number = 0; number < 1_025; number += 1) miss(number)

    expect(miss(1_024)).toBe(false)
    expect(miss(0)).toBe(true)
  })
})

describe('the ids that a summary was asked for', () => {
  test('are few at a time, those that are claimed first', () => {
    const tested = new TestedIds({ count: 1, parameter: 11 })
    // The same place of 256 for both.
    const [one, other] = [2 * 7, 2 * (7 + 256)]

    expect(tested.add(one, { isClaimed: false })).toBe(true)
    expect(tested.add(one, { isClaimed: false })).toBe(false)
    expect(tested.hasClaimed(one)).toBe(false)
    expect(tested.add(other, { isClaimed: true })).toBe(true)
    expect(tested.hasClaimed(other)).toBe(true)
    expect(tested.hasClaimed(one)).toBe(false)
    expect(tested.add(one, { isClaimed: false })).toBe(true)
    expect(tested.add(other, { isClaimed: true })).toBe(false)
  })

  test('include none that never came, whatever its fingerprint', () => {
    const tested = new TestedIds({ count: 1_000_000, parameter: 11 })
    for (const fingerprint of [0, 2, 0x7fff_fffe, 0x8000_0000, 0xffff_fffe]) {
      expect(tested.hasClaimed(fingerprint)).toBe(false)
      expect(tested.add(fingerprint, { isClaimed: true })).toBe(true)
      expect(tested.add(fingerprint, { isClaimed: true })).toBe(false)
      expect(tested.hasClaimed(fingerprint)).toBe(true)
    }
  })
})

function viewOf(
  ids: readonly Uint8Array[],
  options: { readonly epoch?: number; readonly provider?: NodeId } = {},
): SummaryView {
  const { epoch = 1, provider = nodeIdFromBytes(new Uint8Array(32).fill(2)) } = options
  const name = { root: new Uint8Array(32).fill(1), provider, epoch }
  const { shape, hash: stated, segments } = encodeSummary(crypto, ids, name)
  const view = new SummaryView(crypto, { name, shape, hash: stated })
  view.setAll(segments)
  return view
}

function idsOf(seed: string, count: number): Uint8Array[] {
  const rng = new SeededRng(seed)
  return Array.from({ length: count }, () => rng.bytes(32))
}
