import { networkInterfaces } from 'node:os'
import type { Address } from './address.ts'

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/**
 * What a node can tell others after it bound `bound`: a wildcard becomes the addresses of the
 * machine's interfaces of that family. Link-local addresses need a zone and are left out; loopback is
 * told only when nothing else is there, which makes a network on one machine work.
 */
export function localAddresses(bound: readonly Address[]): readonly Address[] {
  return bound.flatMap(({ host, port }) => {
    if (!WILDCARDS.has(host)) return [{ host, port }]
    const family = host === '::' ? 'IPv6' : 'IPv4'
    const own = Object.values(networkInterfaces())
      .flatMap((entries) => entries ?? [])
      .filter((entry) => entry.family === family && !entry.address.startsWith('fe80:'))
    const reachable = own.filter((entry) => !entry.internal)
    return (reachable.length > 0 ? reachable : own).map((entry) => ({ host: entry.address, port }))
  })
}
