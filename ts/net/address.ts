import { isIP } from 'node:net'
import { EspalierError } from '../base/error.ts'
import { parseNodeId, type NodeId } from '../base/identity.ts'
import { reading } from '../base/read.ts'

/**
 * A literal UDP endpoint. Host names never appear here: the operator's are resolved before.
 *
 * @category Addresses
 */
export interface Address {
  /** IPv4 or IPv6 literal, canonical text. */
  readonly host: string
  /** 1 to 65,535. */
  readonly port: number
}

/**
 * Where a node may be reached. Without an id any node at the address is accepted (bootstrap only).
 *
 * @category Addresses
 */
export interface PeerAddress {
  readonly id?: NodeId
  readonly addresses: readonly Address[]
}

/**
 * `192.0.2.1:4040` or `[2001:db8::1]:4040`. Throws `INVALID_ARGUMENT` for what is no address.
 *
 * @category Addresses
 */
export function formatAddress(address: Address): string {
  if (!isAddress(address)) {
    throw new EspalierError('INVALID_ARGUMENT', 'an address is an object with a host and a port')
  }
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`
}

/**
 * Parses {@link formatAddress}'s form. Throws `INVALID_ARGUMENT`.
 *
 * @category Addresses
 */
export function parseAddress(text: string): Address {
  checkText(text)
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text)
  const host = (match?.[1] ?? match?.[2] ?? '').toLowerCase()
  const port = Number(match?.[3])
  const family = isIP(host)
  const bracketed = match?.[1] !== undefined
  if (family === 0 || bracketed !== (family === 6) || port < 1 || port > 65_535) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `an address is written 192.0.2.1:4040 or [2001:db8::1]:4040, not ${JSON.stringify(text.slice(0, 80))}`,
    )
  }
  return { host, port }
}

/**
 * Parses `address` or `nodeid@address`. Throws `INVALID_ARGUMENT`.
 *
 * @example
 * ```ts
 * import { formatAddress, parsePeerAddress } from 'espalier'
 *
 * const { addresses, id } = parsePeerAddress('[2001:db8::1]:4840')
 * console.log(addresses.map(formatAddress), id) // [ '[2001:db8::1]:4840' ] undefined
 * ```
 *
 * @category Addresses
 */
export function parsePeerAddress(text: string): PeerAddress {
  checkText(text)
  const at = text.indexOf('@')
  if (at < 0) return { addresses: [parseAddress(text)] }
  return { id: parseNodeId(text.slice(0, at)), addresses: [parseAddress(text.slice(at + 1))] }
}

// A JavaScript caller may pass anything.
function checkText(value: unknown): void {
  if (typeof value !== 'string') {
    throw new EspalierError('INVALID_ARGUMENT', `an address is text, not a ${typeof value}`)
  }
}

function isAddress(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { host, port } = reading('address', () => {
    const { host, port } = value as Readonly<Record<string, unknown>>
    return { host, port }
  })
  return typeof host === 'string' && typeof port === 'number'
}
