import { createServer, isIP } from 'node:net'
import { EspalierError } from '../../base/error.ts'
import { createNode, type EspalierNode } from '../../node/node.ts'
import type { MetricsOptions } from '../../node/options.ts'
import { formatAddress } from '../../net/address.ts'
import type { Arguments } from '../args.ts'
import { CLIENT_FLAGS, readPassphrase } from '../client.ts'
import type { Command } from '../command.ts'
import { formatBytes, type Output } from '../output.ts'

const STATUS_INTERVAL_MS = 1000
const METRICS_PORT = 4841

/** `espalier node`: a daemon that stores for others and is found by them. */
export const nodeCommand: Command = {
  name: 'node',
  summary: 'run a node: store for others, be found, answer',
  usage: '[--data DIR] [--port N] [--bootstrap PEER]',
  details: [
    'Runs until Ctrl-C. The first start makes an identity in the data directory; every later start keeps it',
    'and the shards. Without --bootstrap it waits for others to join it: give them its address.',
    'Prometheus finds its metrics on this machine at the address that is printed last.',
  ].join('\n'),
  flags: {
    ...CLIENT_FLAGS,
    data: { kind: 'text', value: 'DIR', help: 'Identity, database and shards (default ./espalier-data)' },
    port: { kind: 'count', value: 'N', max: 65_535, help: 'UDP port; 0 takes any free one (default 4840)' },
    host: { kind: 'list', value: 'IP', help: 'Address to bind (default 0.0.0.0 and ::)' },
    quota: { kind: 'size', value: 'SIZE', min: 1, help: 'Most bytes to keep for others (default 1GiB)' },
    'metrics-port': {
      kind: 'count',
      value: 'N',
      max: 65_535,
      help: 'TCP port of /metrics, /health and /ready (default 4841, or any free one)',
    },
    'metrics-host': { kind: 'text', value: 'IP', help: 'Address of that server (default 127.0.0.1)' },
    'no-metrics': { kind: 'switch', help: 'Serve no metrics' },
    'stop-with-stdin': {
      kind: 'switch',
      help: 'Stop when standard input ends: for programs that start nodes',
    },
  },
  positionals: { min: 0, max: 0 },
  examples: ['espalier node', 'espalier node --data /srv/espalier --port 4840 --bootstrap 192.0.2.1:4840'],
  async run(args, { output, signal }) {
    const passphrase = await readPassphrase(args.text('passphrase-file'))
    const quotaBytes = args.count('quota')
    const hosts = args.list('host')
    const metrics = await metricsOptions(args)
    const node = createNode({
      dataDir: args.text('data') ?? 'espalier-data',
      port: args.count('port') ?? 4840,
      bootstrap: args.list('bootstrap'),
      allowPrivate: args.has('allow-private'),
      ...(metrics === undefined ? {} : { metrics }),
      ...(hosts.length === 0 ? {} : { hosts }),
      ...(passphrase === undefined ? {} : { passphrase }),
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
    })
    try {
      await node.start({ signal })
      announce(node, output)
      const stopped = Promise.race([aborted(signal), ...(args.has('stop-with-stdin') ? [inputEnded()] : [])])
      const timer = showStatus(node, output)
      await stopped
      clearInterval(timer)
    } finally {
      // An open input that is read from would keep the process alive.
      if (args.has('stop-with-stdin')) process.stdin.destroy()
      await node.stop()
    }
    output.fact({ event: 'stopped' })
    output.line('stopped')
    return 0
  },
}

/** Where the metrics are served: where the user says, else at the default port if nobody has it. */
async function metricsOptions(args: Arguments): Promise<MetricsOptions | undefined> {
  const given = args.count('metrics-port')
  const host = args.text('metrics-host') ?? '127.0.0.1'
  if (args.has('no-metrics')) {
    if (given === undefined && args.text('metrics-host') === undefined) return undefined
    throw new EspalierError('INVALID_ARGUMENT', '--no-metrics has nothing to serve: leave out --metrics-…')
  }
  if (isIP(host) === 0) {
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `--metrics-host takes an IP address, not ${JSON.stringify(host)}`,
    )
  }
  return { host, port: given ?? ((await isFree(host, METRICS_PORT)) ? METRICS_PORT : 0) }
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

function announce(node: EspalierNode, output: Output): void {
  const addresses = node.addresses.map(formatAddress)
  const { metricsAddress } = node
  const metrics = metricsAddress === undefined ? undefined : `http://${formatAddress(metricsAddress)}/metrics`
  const facts = { event: 'listening', id: node.id, addresses, pid: process.pid }
  output.fact(metrics === undefined ? facts : { ...facts, metrics })
  output.line(`node  ${node.id}`)
  for (const address of addresses) output.line(`join  --bootstrap ${node.id}@${address}`)
  if (metrics !== undefined) output.line(`see   ${metrics}`)
}

/** One line a second that redraws itself on a terminal; facts with `--json`. */
function showStatus(node: EspalierNode, output: Output): NodeJS.Timeout {
  const show = (): void => {
    const status = node.status()
    output.fact({ event: 'status', ...status })
    output.progress(
      [
        `${status.peers} peers`,
        `${status.connections} connections`,
        `${status.shards} shards`,
        `${formatBytes(status.usedBytes)} of ${formatBytes(status.quotaBytes)}`,
        `memory ${formatBytes(status.memoryPeakBytes)} at most`,
      ].join('  ·  '),
    )
  }
  show()
  return setInterval(show, STATUS_INTERVAL_MS)
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function inputEnded(): Promise<void> {
  return new Promise((resolve) => {
    process.stdin.on('end', resolve).on('error', resolve).resume()
  })
}
