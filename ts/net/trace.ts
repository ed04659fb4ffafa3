import { channel } from 'node:diagnostics_channel'
import type { ErrorCode } from '../base/error.ts'
import type { NodeId } from '../base/identity.ts'

/**
 * What the channel `espalier:request` publishes: a request has ended.
 *
 * @category Watching
 */
export interface RequestTrace {
  /** Of the message type, for example `dht.findNode`; `unknown` for what this node does not serve. */
  readonly protocol: string
  /** Who asked: a peer (`inbound`) or a node of this process. */
  readonly direction: 'inbound' | 'outbound'
  readonly outcome: 'ok' | ErrorCode
  readonly durationMs: number
}

/**
 * What the channel `espalier:dial` publishes: a dial has ended.
 *
 * @category Watching
 */
export interface DialTrace {
  /** Nothing when the dial failed and nobody knew who lives at the address. */
  readonly peer: NodeId | undefined
  readonly outcome: 'ok' | ErrorCode
  readonly durationMs: number
}

const requests = channel('espalier:request')
const dials = channel('espalier:dial')

/** Tells subscribers of a request; without one it costs a look at a flag. */
export function traceRequest(
  labels: Pick<RequestTrace, 'protocol' | 'direction'>,
  outcome: RequestTrace['outcome'],
  durationMs: number,
): void {
  if (!requests.hasSubscribers) return
  requests.publish({ ...labels, outcome, durationMs } satisfies RequestTrace)
}

export function traceDial(trace: DialTrace): void {
  if (dials.hasSubscribers) dials.publish(trace)
}
