import { isIP } from 'node:net'
import { EspalierError } from '../base/error.ts'
import { parseNodeId } from '../base/identity.ts'
import { harmlessLog, silentLog, type Log } from '../base/log.ts'
import {
  checkOptions,
  flag,
  integer,
  list,
  oneOf,
  optional,
  shape,
  text,
  type CheckedTable,
  type OptionRule,
} from '../base/options.ts'
import { formatAddress, parseAddress, type Address } from '../net/address.ts'
import { parseBootstrap, type BootstrapEntry } from './bootstrap.ts'
import type { NodeOptions } from './options.ts'
import type { Registry } from 'prom-client'

const DEFAULT_QUOTA_BYTES = 2 ** 30
// As the native budget has it.
const MIN_PEER_BYTES = 2 ** 24
// One of each family.
const MAX_HOSTS = 2
const MAX_BOOTSTRAP = 256
// As the key file has it.
const MAX_PASSPHRASE_BYTES = 1024

const bootstrapEntry: OptionRule<BootstrapEntry> = {
  check(value, name) {
    if (typeof value === 'string') return parseBootstrap(value)
    const { id, addresses } = checkOptions(value, PEER_TABLE, name)
    return { kind: 'literal', peer: id === undefined ? { addresses } : { id: parseNodeId(id), addresses } }
  },
  absent: (name) => missing(name),
}

const address: OptionRule<Address> = {
  check: (value, name) => parseAddress(formatAddress(checkOptions(value, ADDRESS_TABLE, name))),
  absent: (name) => missing(name),
}

const logOfUser = shape(isLog, 'an object with the functions debug, info, warn and error')

const log: OptionRule<Log> = {
  check: (value, name) => harmlessLog(logOfUser.check(value, name)),
  absent: () => silentLog,
}

const ADDRESS_TABLE = { host: text({ maxLength: 45 }), port: integer({ min: 1, max: 65_535 }) }
const PEER_TABLE = {
  id: optional(text()),
  addresses: list(address, { minItems: 1, maxItems: MAX_BOOTSTRAP }),
}

const METRICS_TABLE = {
  port: optional(integer({ min: 0, max: 65_535 })),
  host: shape(isIpText, 'an IP address', { default: '127.0.0.1' }),
  registry: optional(shape(isRegistry, 'a Registry of prom-client')),
  prefix: shape(isPrefix, 'a letter or _, then letters, digits and _, at most 64', { default: 'espalier_' }),
  name: optional(shape(isMetricsName, 'text of 1 to 128 characters')),
}

/** {@link MetricsOptions} after the check. */
export type CheckedMetrics = CheckedTable<typeof METRICS_TABLE>

const metrics: OptionRule<CheckedMetrics> = {
  check: (value, name) => checkOptions(value, METRICS_TABLE, name),
  absent: () => checkOptions({}, METRICS_TABLE),
}

const TABLE = {
  dataDir: text(),
  port: integer({ min: 0, max: 65_535, default: 0 }),
  hosts: list(shape(isIpText, 'an IP address'), {
    minItems: 1,
    maxItems: MAX_HOSTS,
    default: Object.freeze(['0.0.0.0', '::']),
  }),
  bootstrap: list(bootstrapEntry, { maxItems: MAX_BOOTSTRAP, default: Object.freeze([]) }),
  mode: oneOf(['p2p', 'clientOnly'], { default: 'p2p' }),
  allowPrivate: flag({ default: false }),
  passphrase: optional(shape(isPassphrase, `text of 1 to ${MAX_PASSPHRASE_BYTES} bytes in UTF-8`)),
  quotaBytes: integer({ min: 0, max: Number.MAX_SAFE_INTEGER, default: DEFAULT_QUOTA_BYTES }),
  peerBytes: optional(integer({ min: MIN_PEER_BYTES, max: Number.MAX_SAFE_INTEGER })),
  log,
  metrics,
}

/** {@link NodeOptions} after the check: every default filled in, frozen. */
export type CheckedOptions = CheckedTable<typeof TABLE>

/**
 * Checks what `createNode` was given. Throws `INVALID_ARGUMENT` that names the option, what was given
 * and what is allowed; an unknown option is named with the nearest known one.
 */
export function checkNodeOptions(options: NodeOptions): CheckedOptions {
  return checkOptions(options, TABLE)
}

function isIpText(value: unknown): value is string {
  return typeof value === 'string' && isIP(value) !== 0
}

function isPassphrase(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && Buffer.byteLength(value) <= MAX_PASSPHRASE_BYTES
}

function isLog(value: unknown): value is Log {
  if (typeof value !== 'object' || value === null) return false
  return ['debug', 'info', 'warn', 'error'].every(
    (name) => typeof (value as Readonly<Record<string, unknown>>)[name] === 'function',
  )
}

/** Another copy of prom-client has another class: what it can do decides. */
function isRegistry(value: unknown): value is Registry {
  if (typeof value !== 'object' || value === null) return false
  return ['registerMetric', 'removeSingleMetric', 'metrics'].every(
    (name) => typeof (value as Readonly<Record<string, unknown>>)[name] === 'function',
  )
}

function isPrefix(value: unknown): value is string {
  return typeof value === 'string' && /^[a-zA-Z_][a-zA-Z0-9_]{0,63}$/.test(value)
}

function isMetricsName(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= 128
}

function missing(name: string): never {
  throw new EspalierError('INVALID_ARGUMENT', `${name} is missing`)
}
