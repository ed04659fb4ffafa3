import type { CborReader, CborWriter } from '../base/codec.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, nodeIdFromBytes, type NodeId } from '../base/identity.ts'
import { formatAddress, parseAddress, type Address } from '../net/address.ts'
import { MAX_ADDRESSES, MAX_PEERS, type Peer } from './lookup.ts'

/** The longest IPv6 literal. */
const MAX_HOST_BYTES = 45

/** Most bytes of one encoded address list. */
export const MAX_ADDRESSES_BYTES = 1 + MAX_ADDRESSES * (1 + 2 + MAX_HOST_BYTES + 3)
/** Most bytes of one encoded peer list. */
export const MAX_PEERS_BYTES = 3 + MAX_PEERS * (1 + 34 + MAX_ADDRESSES_BYTES)

/** Writes at most {@link MAX_ADDRESSES}; the rest is left out. */
export function writeAddresses(writer: CborWriter, addresses: readonly Address[]): void {
  const told = addresses.slice(0, MAX_ADDRESSES)
  writer.array(told.length)
  for (const { host, port } of told) writer.array(2).text(host).uint(port)
}

/** Literals only: a host name or a zone is `PROTOCOL_VIOLATION`. Which of them may be dialled is decided below. */
export function readAddresses(reader: CborReader): Address[] {
  return Array.from({ length: reader.arrayUpTo(MAX_ADDRESSES) }, () => {
    reader.array(2)
    return literal({ host: reader.text(MAX_HOST_BYTES), port: reader.uint(65_535) })
  })
}

export function writeNodeId(writer: CborWriter, id: NodeId): void {
  writer.bytes(keyOfNode(id))
}

export function readNodeId(reader: CborReader): NodeId {
  return nodeIdFromBytes(reader.bytes(32))
}

/** Writes at most {@link MAX_PEERS}. */
export function writePeers(writer: CborWriter, peers: readonly Peer[]): void {
  const told = peers.slice(0, MAX_PEERS)
  writer.array(told.length)
  for (const { id, addresses } of told) {
    writer.array(2)
    writeNodeId(writer, id)
    writeAddresses(writer, addresses)
  }
}

export function readPeers(reader: CborReader): Peer[] {
  return Array.from({ length: reader.arrayUpTo(MAX_PEERS) }, () => {
    reader.array(2)
    return { id: readNodeId(reader), addresses: readAddresses(reader) }
  })
}

function literal(address: Address): Address {
  try {
    const parsed = parseAddress(formatAddress(address))
    if (parsed.host === address.host) return parsed
  } catch {
    // Falls through to the one refusal below.
  }
  throw new EspalierError('PROTOCOL_VIOLATION', `not a literal address: ${JSON.stringify(address.host)}`)
}
