import type { Log } from '../base/log.ts'
import type { PeerAddress } from '../net/address.ts'

/** What `createNode` takes. Only `dataDir` is required. */
export interface NodeOptions {
  /** Directory of the identity, the database and the shards; made with mode 0700 when missing. */
  readonly dataDir: string
  /** UDP port, 0 to 65,535; 0 takes any free one. Default 0. */
  readonly port?: number
  /** IP addresses to bind, at most one of each family. Default `0.0.0.0` and `::`; a family that the machine lacks is left out. */
  readonly hosts?: readonly string[]
  /** Nodes to join through: `192.0.2.1:4840`, `id@192.0.2.1:4840`, `host.example:4840`, or a parsed address. */
  readonly bootstrap?: readonly (string | PeerAddress)[]
  /**
   * `p2p` (default) stores for others and is found by them; `clientOnly` dials out, advertises no
   * address and keeps nothing for others.
   */
  readonly mode?: 'p2p' | 'clientOnly'
  /** Also dial loopback, private and other special addresses that peers name. Default false. */
  readonly allowPrivate?: boolean
  /** Unlocks the identity, or protects a new one. Without it the file is protected by its mode only. */
  readonly passphrase?: string
  /** Most bytes of shards to keep for others. Default 1 GiB. */
  readonly quotaBytes?: number
  /** Takes the log; default: none. `console` fits. */
  readonly log?: Log
}
