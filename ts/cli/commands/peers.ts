import { formatAddress } from '../../net/address.ts'
import { CLIENT_FLAGS, withClient } from '../client.ts'
import type { Command } from '../command.ts'

/** `espalier peers`: who is there. */
export const peersCommand: Command = {
  name: 'peers',
  summary: 'list the nodes that can be reached',
  usage: '--bootstrap PEER',
  details: 'Joins as a client, looks around its own place in the network and lists the nodes that answered.',
  flags: CLIENT_FLAGS,
  positionals: { min: 0, max: 0 },
  examples: ['espalier peers --bootstrap 192.0.2.1:4840'],
  run(args, context) {
    const { output } = context
    return withClient(args, context, (node) => {
      const peers = node.peers()
      for (const peer of peers) {
        output.fact({ event: 'peer', ...peer, addresses: peer.addresses.map(formatAddress) })
        output.line(`${peer.id}  ${peer.addresses.map(formatAddress).join(' ')}`)
      }
      output.line(`${peers.length} nodes`)
      return Promise.resolve(0)
    })
  },
}
