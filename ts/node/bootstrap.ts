import { lookup } from 'node:dns/promises'
import { EspalierError } from '../base/error.ts'
import { parseNodeId, type NodeId } from '../base/identity.ts'
import { parseAddress, type PeerAddress } from '../net/address.ts'

/**
 * Turns what an operator wrote (`192.0.2.1:4840`, `id@…`, `host.example:4840`) into addresses to dial.
 * Only here is a host name resolved: names that peers send never are. Throws `INVALID_ARGUMENT`.
 */
export async function resolveBootstrap(text: string): Promise<PeerAddress> {
  const at = text.indexOf('@')
  const id = at < 0 ? undefined : parseNodeId(text.slice(0, at))
  const endpoint = text.slice(at + 1)
  const host = /^([a-zA-Z0-9][a-zA-Z0-9.-]{0,252}):([0-9]{1,5})$/.exec(endpoint)
  const isLiteral = host === null || /^[0-9.]+$/.test(host[1] ?? '')
  if (isLiteral) return withId(id, [parseAddress(endpoint)])
  const port = parseAddress(`0.0.0.0:${host[2] ?? ''}`).port
  try {
    const found = await lookup(host[1] ?? '', { all: true })
    return withId(
      id,
      found.map(({ address }) => ({ host: address, port })),
    )
  } catch (cause) {
    throw new EspalierError('INVALID_ARGUMENT', `the bootstrap host ${host[1] ?? ''} could not be resolved`, {
      cause,
    })
  }
}

function withId(id: NodeId | undefined, addresses: PeerAddress['addresses']): PeerAddress {
  return id === undefined ? { addresses } : { id, addresses }
}
