import { isIP } from 'node:net'
import { EspalierError } from '../base/error.ts'
import { silentLog, type Log } from '../base/log.ts'
import { nearestName } from '../base/nearest.ts'
import { formatAddress, parseAddress, type Address } from '../net/address.ts'
import { parseNodeId } from '../base/identity.ts'
import { parseBootstrap, type BootstrapEntry } from './bootstrap.ts'
import type { NodeOptions } from './options.ts'

/** {@link NodeOptions} after the check: every default filled in, frozen. */
export interface CheckedOptions {
  readonly dataDir: string
  readonly port: number
  readonly hosts: readonly string[]
  readonly bootstrap: readonly BootstrapEntry[]
  readonly mode: 'p2p' | 'clientOnly'
  readonly allowPrivate: boolean
  readonly passphrase: string | undefined
  readonly quotaBytes: number
  readonly log: Log
}

const DEFAULT_QUOTA_BYTES = 2 ** 30
const MAX_HOSTS = 8
const MAX_BOOTSTRAP = 256
// A path longer than this exists on no platform; a passphrase longer than this is a mistake.
const MAX_PATH_CHARACTERS = 4096
const MAX_PASSPHRASE_BYTES = 1024

type Check<Value> = (value: unknown, name: string) => Value

const CHECKS: { readonly [Name in keyof CheckedOptions]: Check<CheckedOptions[Name]> } = {
  dataDir: (value, name) => text(value, { name, maxCharacters: MAX_PATH_CHARACTERS }),
  port: (value = 0, name) => integer(value, { name, min: 0, max: 65_535 }),
  hosts: (value = ['0.0.0.0', '::'], name) => list(value, { name, min: 1, max: MAX_HOSTS }).map(host),
  bootstrap: (value = [], name) => list(value, { name, min: 0, max: MAX_BOOTSTRAP }).map(bootstrapEntry),
  mode: (value = 'p2p', name) => {
    if (value === 'p2p' || value === 'clientOnly') return value
    throw wrong(name, "'p2p' or 'clientOnly'", value)
  },
  allowPrivate: (value = false, name) => {
    if (typeof value === 'boolean') return value
    throw wrong(name, 'true or false', value)
  },
  passphrase: (value, name) => {
    if (value === undefined) return undefined
    if (typeof value === 'string' && value.length > 0 && Buffer.byteLength(value) <= MAX_PASSPHRASE_BYTES)
      return value
    // The value is a secret, also when it is wrong: it stays out of the message.
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `${name} has to be text of 1 to ${MAX_PASSPHRASE_BYTES} bytes in UTF-8`,
    )
  },
  quotaBytes: (value = DEFAULT_QUOTA_BYTES, name) =>
    integer(value, { name, min: 0, max: Number.MAX_SAFE_INTEGER }),
  log: (value = silentLog, name) => {
    if (isLog(value)) return value
    throw wrong(name, 'an object with the functions debug, info, warn and error', value)
  },
}

/**
 * Checks what `createNode` was given. Throws `INVALID_ARGUMENT` that names the option, what was given
 * and what is allowed; an unknown option is named with the nearest known one.
 */
export function checkOptions(options: NodeOptions): CheckedOptions {
  const given: unknown = options
  if (typeof given !== 'object' || given === null) throw wrong('options', 'an object', given)
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(CHECKS, name)) continue
    const nearest = nearestName(name, Object.keys(CHECKS))
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `there is no option ${JSON.stringify(name.slice(0, 64))}; ` +
        (nearest === undefined ? `known are ${Object.keys(CHECKS).join(', ')}` : `did you mean ${nearest}?`),
    )
  }
  const read = <Name extends keyof CheckedOptions>(name: Name): CheckedOptions[Name] =>
    CHECKS[name]((given as Readonly<Record<string, unknown>>)[name], name)
  return Object.freeze({
    dataDir: read('dataDir'),
    port: read('port'),
    hosts: Object.freeze(read('hosts')),
    bootstrap: Object.freeze(read('bootstrap')),
    mode: read('mode'),
    allowPrivate: read('allowPrivate'),
    passphrase: read('passphrase'),
    quotaBytes: read('quotaBytes'),
    log: read('log'),
  })
}

function text(value: unknown, limits: { readonly name: string; readonly maxCharacters: number }): string {
  const { name, maxCharacters } = limits
  if (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= maxCharacters &&
    !value.includes('\0')
  ) {
    return value
  }
  throw wrong(name, `text of 1 to ${maxCharacters} characters`, value)
}

function integer(
  value: unknown,
  limits: { readonly name: string; readonly min: number; readonly max: number },
): number {
  const { name, min, max } = limits
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw wrong(name, `an integer from ${min} to ${max}`, value)
}

function list(
  value: unknown,
  limits: { readonly name: string; readonly min: number; readonly max: number },
): readonly unknown[] {
  const { name, min, max } = limits
  if (Array.isArray(value) && value.length >= min && value.length <= max) return value as readonly unknown[]
  throw wrong(name, `a list of ${min} to ${max} items`, value)
}

function host(value: unknown): string {
  if (typeof value === 'string' && isIP(value) !== 0) return value
  throw wrong('hosts', 'a list of IP addresses', value)
}

function bootstrapEntry(value: unknown): BootstrapEntry {
  if (typeof value === 'string') return parseBootstrap(value)
  if (typeof value !== 'object' || value === null || !('addresses' in value)) {
    throw wrong('bootstrap', 'a list of addresses such as 192.0.2.1:4840', value)
  }
  const addresses = list(value.addresses, { name: 'bootstrap addresses', min: 1, max: MAX_BOOTSTRAP }).map(
    literalAddress,
  )
  const id = 'id' in value ? value.id : undefined
  if (id === undefined) return { kind: 'literal', peer: { addresses } }
  if (typeof id !== 'string') throw wrong('the id of a bootstrap peer', 'text', id)
  return { kind: 'literal', peer: { id: parseNodeId(id), addresses } }
}

function literalAddress(value: unknown): Address {
  if (typeof value === 'object' && value !== null && 'host' in value && 'port' in value) {
    const { host, port } = value
    if (typeof host === 'string' && typeof port === 'number')
      return parseAddress(formatAddress({ host, port }))
  }
  throw wrong('bootstrap addresses', 'a list of { host, port }', value)
}

function isLog(value: unknown): value is Log {
  if (typeof value !== 'object' || value === null) return false
  return ['debug', 'info', 'warn', 'error'].every(
    (name) => typeof (value as Readonly<Record<string, unknown>>)[name] === 'function',
  )
}

function wrong(name: string, allowed: string, given: unknown): EspalierError {
  const shown =
    given === null || typeof given !== 'object' ? String(given) : Object.prototype.toString.call(given)
  return new EspalierError('INVALID_ARGUMENT', `${name} has to be ${allowed}, not ${shown.slice(0, 80)}`)
}
