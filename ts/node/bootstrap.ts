import { lookup } from 'node:dns/promises'
import { EspalierError } from '../base/error.ts'
import { parseNodeId, type NodeId } from '../base/identity.ts'
import { parseAddress, type PeerAddress } from '../net/address.ts'

/** What an operator wrote to join through: literal, or a host name that is looked up at every start. */
export type BootstrapEntry =
  | { readonly kind: 'literal'; readonly peer: PeerAddress }
  | {
      readonly kind: 'host'
      readonly id: NodeId | undefined
      readonly host: string
      readonly port: number
    }

/** Reads `192.0.2.1:4840`, `id@…` or `host.example:4840` without asking the network. Throws `INVALID_ARGUMENT`. */
export function parseBootstrap(text: string): BootstrapEntry {
  const at = text.indexOf('@')
  const id = at < 0 ? undefined : parseNodeId(text.slice(0, at))
  const endpoint = text.slice(at + 1)
  const match = /^([a-zA-Z0-9][a-zA-Z0-9.-]{0,252}):([0-9]{1,5})$/.exec(endpoint)
  const host = match?.[1]
  if (host === undefined || /^[0-9.]+$/.test(host)) {
    return { kind: 'literal', peer: withId(id, [parseAddress(endpoint)]) }
  }
  return { kind: 'host', id, host, port: parseAddress(`0.0.0.0:${match?.[2] ?? ''}`).port }
}

/**
 * Turns an entry into addresses to dial. Only here is a host name resolved: names that peers send
 * never are. Throws `INVALID_ARGUMENT` for a name that does not exist.
 */
export async function resolveBootstrap(entry: BootstrapEntry): Promise<PeerAddress> {
  if (entry.kind === 'literal') return entry.peer
  const { id, host, port } = entry
  try {
    const found = await lookup(host, { all: true })
    return withId(
      id,
      found.map(({ address }) => ({ host: address, port })),
    )
  } catch (cause) {
    throw new EspalierError('INVALID_ARGUMENT', `the bootstrap host ${host} could not be resolved`, { cause })
  }
}

function withId(id: NodeId | undefined, addresses: PeerAddress['addresses']): PeerAddress {
  return id === undefined ? { addresses } : { id, addresses }
}
