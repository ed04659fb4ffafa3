import type { Histogram } from '../base/metrics.ts'
import { all, byLabel, counted, labelsOf, native, observed, roundTrips, single, type Read } from './read.ts'

interface Described {
  /** Without the prefix. */
  readonly name: string
  readonly labels: readonly string[]
  readonly help: string
}

/** A metric of a node. All are read when somebody asks; a node that nobody asks spends nothing on them. */
export type NodeMetric = Described &
  (
    | { readonly kind: 'counter' | 'gauge'; readonly read: Read<number> }
    | { readonly kind: 'histogram'; readonly read: Read<Histogram> }
  )

/** The traffic of a node. */
const TRANSPORT: readonly NodeMetric[] = [
  {
    kind: 'counter',
    name: 'handshakes_total',
    labels: ['direction', 'outcome'],
    help: 'Handshakes that ended, by who began and how: full, resumed, failed, timed_out',
    read: native('count.handshakes'),
  },
  {
    kind: 'counter',
    name: 'early_data_total',
    labels: ['outcome'],
    help: 'Dials that sent a request before the handshake was over, by what the peer did: accepted, rejected',
    read: native('count.early_data'),
  },
  {
    kind: 'counter',
    name: 'early_requests_total',
    labels: [],
    help: 'Requests of peers that were served before their handshake was over',
    read: native('count.early_requests'),
  },
  {
    kind: 'counter',
    name: 'dials_total',
    labels: labelsOf('dials'),
    help: 'Dials by outcome: ok or the error code',
    read: counted('dials'),
  },
  {
    kind: 'histogram',
    name: 'connect_duration_seconds',
    labels: labelsOf('connectSeconds'),
    help: 'Time of a dial that succeeded, up to the proof of the id of the peer',
    read: observed('connectSeconds'),
  },
  {
    kind: 'gauge',
    name: 'connections',
    labels: ['direction'],
    help: 'Live connections by who dialled',
    read: byLabel(({ source }) => source.rpc.connectionCounts()),
  },
  {
    kind: 'histogram',
    name: 'round_trip_seconds',
    labels: [],
    help: 'Round-trip times of live connections, each looked at once in every scrape',
    read: roundTrips,
  },
  {
    kind: 'counter',
    name: 'packets_lost_total',
    labels: [],
    help: 'Sent packets that were declared lost',
    read: native('count.packets_lost'),
  },
  {
    kind: 'counter',
    name: 'udp_bytes_total',
    labels: ['direction'],
    help: 'Payload of UDP packets, handshakes and the packets of strangers included',
    read: native('count.packet_bytes'),
  },
  {
    kind: 'counter',
    name: 'foreign_packets_total',
    labels: [],
    help: 'Received packets that are not QUIC',
    read: native('count.foreign_packets'),
  },
  {
    kind: 'counter',
    name: 'payload_bytes_total',
    labels: ['direction', 'class'],
    help: 'Bytes of requests, answers, streams and datagrams, by traffic class',
    read: native('count.bytes'),
  },
  {
    kind: 'counter',
    name: 'datagrams_total',
    labels: ['direction'],
    help: 'Datagrams sent and received',
    read: native('count.datagrams'),
  },
  {
    kind: 'gauge',
    name: 'open_streams',
    labels: [],
    help: 'Streams that are open, whoever opened them',
    read: native('level.streams'),
  },
]

/** What is asked and answered. */
const REQUESTS: readonly NodeMetric[] = [
  {
    kind: 'counter',
    name: 'requests_total',
    labels: labelsOf('requests'),
    help: 'Requests by protocol, by who asked, and by outcome: ok or the error code',
    read: counted('requests'),
  },
  {
    kind: 'histogram',
    name: 'request_duration_seconds',
    labels: labelsOf('requestSeconds'),
    help: 'Time of a request: outbound of the whole call, inbound of its handler',
    read: observed('requestSeconds'),
  },
  {
    kind: 'counter',
    name: 'streams_total',
    labels: labelsOf('streams'),
    help: 'Streams by protocol, by who opened, and by outcome: outbound of opening, inbound of serving',
    read: counted('streams'),
  },
  {
    kind: 'counter',
    name: 'refusals_total',
    labels: ['reason'],
    help: 'What peers asked for and did not get, by reason',
    read: all(native('count.refused'), counted('refusals')),
  },
  {
    kind: 'gauge',
    name: 'queue_length',
    labels: ['queue'],
    help: 'What waits or is under way in each queue',
    read: byLabel(({ source, figures }) => {
      const { underWay, queued, served, dials } = source.rpc.load()
      return {
        own_requests: underWay,
        own_requests_waiting: queued,
        served_requests: served,
        dials,
        native_handshakes: figures.get('level.handshakes') ?? 0,
        native_operations: figures.get('level.operations') ?? 0,
        native_requests: figures.get('level.requests_served') ?? 0,
        database: source.store.pendingCalls,
      }
    }),
  },
]

/** What the services do. */
const SERVICES: readonly NodeMetric[] = [
  {
    kind: 'gauge',
    name: 'routing_table_peers',
    labels: [],
    help: 'Nodes in the routing table',
    read: single(({ source }) => source.dht.peerCount),
  },
  {
    kind: 'gauge',
    name: 'routing_table_evenness',
    labels: [],
    help: 'How evenly the routing table spreads over IPv4 /16 and IPv6 /32 networks: 0 is one network, 1 as many as nodes',
    read: single(({ source }) => source.dht.evenness),
  },
  {
    kind: 'counter',
    name: 'contacts_refused_total',
    labels: labelsOf('contactsRefused'),
    help: 'Sightings of nodes that the routing table had no place for because too many of it are in their network',
    read: counted('contactsRefused'),
  },
  {
    kind: 'gauge',
    name: 'network_size_nodes',
    labels: [],
    help: 'Nodes of the network as complete look-ups estimate it; absent before the first',
    read: single(({ source }) => source.dht.networkSize?.nodes),
  },
  {
    kind: 'counter',
    name: 'neighbourhoods_total',
    labels: labelsOf('neighbourhoods'),
    help: 'Complete look-ups by what the nodes nearest to the key look like: honest, crowded (somebody made ids for it) or unknown',
    read: counted('neighbourhoods'),
  },
  {
    kind: 'gauge',
    name: 'stored_records',
    labels: [],
    help: 'Records that are kept for others',
    read: single(({ source }) => source.dht.recordCount),
  },
  {
    kind: 'gauge',
    name: 'stored_superseded_records',
    labels: [],
    help: 'Earlier records of registers that are kept for others',
    read: single(({ source }) => source.dht.registers.supersededCount),
  },
  {
    kind: 'gauge',
    name: 'watched_registers',
    labels: [],
    help: 'Registers that this node watches',
    read: single(({ source }) => source.dht.registers.watchedCount),
  },
  {
    kind: 'gauge',
    name: 'register_leases',
    labels: ['direction'],
    help: 'Leases that last: granted to peers that watch registers (inbound), held by this node (outbound)',
    read: byLabel(({ source }) => {
      const { granted, held } = source.dht.registers.leaseCounts
      return { inbound: granted, outbound: held }
    }),
  },
  {
    kind: 'counter',
    name: 'lease_requests_total',
    labels: labelsOf('leaseRequests'),
    help: 'Leases of registers that peers asked for or ended, by outcome: granted, renewed, ended or the error code',
    read: counted('leaseRequests'),
  },
  {
    kind: 'counter',
    name: 'register_pushes_total',
    labels: labelsOf('registerPushes'),
    help: 'Changes of registers pushed: sent (outbound) by outcome ok or the error code, received (inbound) new, known or the error code',
    read: counted('registerPushes'),
  },
  {
    kind: 'counter',
    name: 'equivocations_total',
    labels: labelsOf('equivocations'),
    help: 'Pairs of records that owners signed under one sequence: of those that this node keeps for others (kept), of registers that it watches (watched)',
    read: counted('equivocations'),
  },
  {
    kind: 'gauge',
    name: 'stored_announcements',
    labels: [],
    help: 'Announcements of providers that are kept for others',
    read: single(({ source }) => source.dht.providers.keptCount),
  },
  {
    kind: 'gauge',
    name: 'announced_roots',
    labels: [],
    help: 'Roots of which this node announces what it has',
    read: single(({ source }) => source.dht.providers.announcedCount),
  },
  {
    kind: 'gauge',
    name: 'provider_cache_bytes',
    labels: [],
    help: 'Memory of the summaries of other providers',
    read: single(({ source }) => source.dht.providers.cachedBytes),
  },
  {
    kind: 'counter',
    name: 'announcements_total',
    labels: labelsOf('announcements'),
    help: 'Announcements that providers brought, by outcome: stored, keyWanted, stale, full or the error code',
    read: counted('announcements'),
  },
  {
    kind: 'counter',
    name: 'receipts_total',
    labels: labelsOf('receipts'),
    help: 'Receipts that readers gave, by outcome: counted, useless or the error code',
    read: counted('receipts'),
  },
  {
    kind: 'counter',
    name: 'summaries_total',
    labels: labelsOf('summaries'),
    help: 'Summaries of providers that were read, by outcome: ok, replayed, missed, over_claimed or the error code',
    read: counted('summaries'),
  },
  {
    kind: 'counter',
    name: 'lookups_total',
    labels: labelsOf('lookups'),
    help: 'Look-ups in the DHT by what was sought (nodes, record, providers) and outcome: ok, NOT_FOUND or the error code',
    read: counted('lookups'),
  },
  {
    kind: 'histogram',
    name: 'lookup_duration_seconds',
    labels: labelsOf('lookupSeconds'),
    help: 'Time of a look-up in the DHT',
    read: observed('lookupSeconds'),
  },
  {
    kind: 'histogram',
    name: 'lookup_requests',
    labels: labelsOf('lookupRequests'),
    help: 'Nodes that one look-up in the DHT asked',
    read: observed('lookupRequests'),
  },
  {
    kind: 'counter',
    name: 'transfers_total',
    labels: labelsOf('transfers'),
    help: 'Objects put and got, by outcome: ok or the error code',
    read: counted('transfers'),
  },
  {
    kind: 'counter',
    name: 'transfer_bytes_total',
    labels: labelsOf('transferBytes'),
    help: 'Bytes of objects that were stored or handed out',
    read: counted('transferBytes'),
  },
  {
    kind: 'histogram',
    name: 'transfer_duration_seconds',
    labels: labelsOf('transferSeconds'),
    help: 'Time of a put or a get of an object, pauses of the consumer included',
    read: observed('transferSeconds'),
  },
  {
    kind: 'gauge',
    name: 'storage_used_bytes',
    labels: [],
    help: 'Bytes of shards that are kept for others',
    read: single(({ source }) => source.shards?.usage().usedBytes),
  },
  {
    kind: 'gauge',
    name: 'storage_quota_bytes',
    labels: [],
    help: 'Most bytes of shards that may be kept for others',
    read: single(({ source }) => source.shards?.usage().quotaBytes),
  },
  {
    kind: 'gauge',
    name: 'storage_shards',
    labels: [],
    help: 'Shards that are kept for others',
    read: single(({ source }) => source.shards?.usage().shards),
  },
]

/** Every metric of a node. docs/guide/metrics.md explains them and is checked against this list. */
export const NODE_METRICS: readonly NodeMetric[] = [...TRANSPORT, ...REQUESTS, ...SERVICES]
