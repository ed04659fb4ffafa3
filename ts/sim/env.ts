import type { Env } from '../base/env.ts'
import type { NodeId } from '../base/identity.ts'
import { silentLog, type Log } from '../base/log.ts'
import { Meter } from '../base/metrics.ts'
import { StubSigner } from './crypto.ts'
import type { World } from './world.ts'

/**
 * The `Env` of one simulated node, and its id. The name alone decides about keys and randomness.
 *
 * @category Simulator
 */
export function simEnv(
  world: World,
  options: { readonly name: string; readonly log?: Log },
): { readonly env: Env; readonly id: NodeId } {
  const rng = world.rng.split(`node ${options.name}`)
  const signer = new StubSigner(rng.split('key'))
  return {
    env: { clock: world.clock, rng, log: options.log ?? silentLog, metrics: new Meter(), crypto: signer },
    id: signer.id,
  }
}
