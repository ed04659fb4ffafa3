import type { NodeOptions } from './options.ts'

/**
 * Options of a node that dials out, stores nothing for others and is no one's neighbour.
 *
 * @category Node
 */
export function clientOnly(): Pick<NodeOptions, 'mode'> {
  return { mode: 'clientOnly' }
}

/**
 * Options of a node in a network of one's own: loopback and private addresses are dialled too.
 *
 * @category Node
 */
export function privateNetwork(): Pick<NodeOptions, 'allowPrivate'> {
  return { allowPrivate: true }
}
