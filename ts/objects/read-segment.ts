import type { Clock } from '../base/clock.ts'
import { EspalierError } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'
import { totalShards } from '../placement/layout.ts'
import type { PlacedHolder } from './manifest.ts'
import { SegmentPlan, type ReadPlan } from './read-plan.ts'

/** What the reading of one segment needs. */
export interface SegmentReading {
  readonly plan: ReadPlan
  readonly clock: Clock
  /** One more holder is asked every time that this passes. */
  readonly hedgeMs: number
  /** Called when what is known of a holder has changed. */
  readonly onChange: Set<() => void>
  /** The right bytes, or a rejection. */
  readonly get: (place: PlacedHolder) => Promise<Uint8Array>
  /** Whether a holder that failed has failed for good. */
  readonly isLost: (nodeId: NodeId) => boolean
}

/**
 * Enough right shards of one segment, each at its index: the plan decides whom to ask, this asks.
 * Rejects with `SHARDS_MISSING` (details: found, needed) as soon as too few can still be had.
 */
export function readSegmentShards(reading: SegmentReading): Promise<(Uint8Array | undefined)[]> {
  const { plan, clock, onChange } = reading
  const segment = new SegmentPlan(plan)
  const shards = new Array<Uint8Array | undefined>(totalShards(plan.layout)).fill(undefined)

  return new Promise((resolve, reject) => {
    let isOver = false
    let timer = clock.setTimer(reading.hedgeMs, onSlow)

    function onSlow(): void {
      for (const { nodeId } of segment.waitingFor()) plan.onSlow(nodeId, reading.hedgeMs)
      segment.onSlow()
      timer = clock.setTimer(reading.hedgeMs, onSlow)
      step()
    }

    function ask(place: PlacedHolder): void {
      const askedAtMs = clock.nowMs()
      plan.onAsked(place.nodeId)
      reading.get(place).then(
        (bytes) => {
          plan.onAnswered(place.nodeId, clock.nowMs() - askedAtMs)
          if (isOver) return
          shards[place.shardIndex] = bytes
          segment.onShard(place)
          step()
        },
        () => {
          plan.onAnswered(place.nodeId, clock.nowMs() - askedAtMs)
          if (reading.isLost(place.nodeId)) plan.onDead(place.nodeId)
          segment.onRefused(place)
          step()
        },
      )
    }

    function step(): void {
      if (isOver) return
      for (const place of segment.next()) ask(place)
      const verdict = segment.verdict()
      if (verdict.kind === 'reading') return
      isOver = true
      timer.cancel()
      onChange.delete(step)
      if (verdict.kind === 'complete') resolve(shards)
      else reject(shardsMissing(verdict.found, plan.layout.dataShards))
    }

    onChange.add(step)
    step()
  })
}

function shardsMissing(found: number, needed: number): EspalierError {
  return new EspalierError(
    'SHARDS_MISSING',
    `only ${found} of the ${needed} shards that a segment needs can be reached`,
    { details: { found, needed } },
  )
}
