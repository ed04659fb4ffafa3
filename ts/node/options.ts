import type { Registry } from 'prom-client'
import type { Log } from '../base/log.ts'
import type { PeerAddress } from '../net/address.ts'

/**
 * What `createNode` takes. Only `dataDir` is required.
 *
 * @category Node
 */
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
  /**
   * Most bytes that peers may make this process hold: receive windows, requests, answers, what waits to be read.
   * From 16 MiB. All nodes of a process share it, and the last that was started with this option sets it. Default
   * 512 MiB.
   */
  readonly peerBytes?: number
  /** Takes the log; default: none. `console` fits. */
  readonly log?: Log
  /** Where the node shows its metrics. Without it only `node.metrics()` does. */
  readonly metrics?: MetricsOptions
}

/**
 * How a node shows its metrics, health and readiness; docs/guide/metrics.md lists the metrics.
 *
 * @category Watching
 */
export interface MetricsOptions {
  /** Serve `/metrics`, `/health` and `/ready` by HTTP on this TCP port; 0 takes any free one. Default: no server. */
  readonly port?: number
  /** IP address of that server. Default `127.0.0.1`: only this machine may ask. */
  readonly host?: string
  /** A registry of prom-client 15 to register the metrics in. Default: one of the node's own. */
  readonly registry?: Registry
  /** Begins the name of every metric. Default `espalier_`. */
  readonly prefix?: string
  /** Label `node` of every metric, for several nodes in one registry. Default: no label. */
  readonly name?: string
}
