import { compareBytes, toHex } from '../base/bytes.ts'
import { EspalierError } from '../base/error.ts'
import { keyOfNode, nodeIdFromBytes, type Key } from '../base/identity.ts'
import { keyOfRecord, signRecords, type SignedRecord } from '../base/record.ts'
import type { Peer } from '../dht/lookup.ts'
import { encodeRegister, subjectOfName } from '../dht/register.ts'
import { getHistory } from '../dht/register-wire.ts'
import { findNode, getRecord, putRecord } from '../dht/wire.ts'
import type { Adversary, Circle, HostileRegister } from './adversary.ts'
import type { SimulatedNode } from './simulated-node.ts'

/** Most peers of one answer. */
const NAMED = 20
/** How long who poisons slowly is as honest as anybody. */
const HONEST_MS = 10 * 60_000
const DAY_MS = 86_400_000
/** Where nobody is: the block of RFC 5737 §3 for examples. */
const NOBODY = [{ host: '203.0.113.1', port: 9 }] as const

/** Never answers a look-up, for nodes or for a record; it answers pings, and keeps what it is given to itself. */
const drop: Adversary = {
  name: 'drop',
  corrupt(node, circle) {
    circle.replace(node, findNode, () => new Promise(() => undefined))
    circle.replace(node, getRecord, () => new Promise(() => undefined))
  },
}

/** Knows nobody but the members that are nearest to the target, and no record. */
const collude: Adversary = {
  name: 'answer with colluders',
  corrupt(node, circle) {
    circle.replace(node, findNode, ({ target }) => circle.nearest(target, NAMED))
    circle.replace(node, getRecord, ({ key }) => ({ record: undefined, peers: circle.nearest(key, NAMED) }))
  },
}

/** Says that nobody is nearer: a look-up that believed it would end. */
const endEarly: Adversary = {
  name: 'early terminator',
  corrupt(node, circle) {
    circle.replace(node, findNode, () => [])
    circle.replace(node, getRecord, () => ({ record: undefined, peers: [] }))
  },
}

/** Names nodes next to the target that were never there, at its own address. */
const inventNearer: Adversary = {
  name: 'false closer nodes',
  corrupt(node, circle) {
    const invent = (target: Key): Peer[] =>
      Array.from({ length: NAMED }, () => {
        const key = Uint8Array.from(target)
        key.set(circle.rng.bytes(24), 8)
        return { id: nodeIdFromBytes(key), addresses: node.rpc.addresses }
      })
    circle.replace(node, findNode, ({ target }) => invent(target))
    circle.replace(node, getRecord, ({ key }) => ({ record: undefined, peers: invent(key) }))
  },
}

/** Says that it keeps what it throws away, and later names the other members only. */
const deleteAndLie: Adversary = {
  name: 'delete and lie',
  corrupt(node, circle) {
    circle.replace(node, putRecord, () => ({ kind: 'stored' }))
    circle.replace(node, getRecord, ({ key }) => ({ record: undefined, peers: circle.nearest(key, NAMED) }))
  },
}

/**
 * Keeps of each register the oldest record that it was ever given, and shows that one for ever, with a true signature;
 * the newer ones it says to have stored.
 */
const showStale: Adversary = {
  name: 'stale records',
  corrupt(node, circle) {
    // Bounded by the registers of the scenario.
    const oldest = new Map<string, SignedRecord>()
    const note = (record: SignedRecord): SignedRecord => {
      const place = toHex(keyOfRecord(node.crypto, record.body))
      const known = oldest.get(place)
      if (known !== undefined && known.body.sequence <= record.body.sequence) return known
      oldest.set(place, record)
      return record
    }
    circle.bend(node, putRecord, (answer, { record }) => {
      if (record.body.kind === 'REGISTER_POINTER') note(record)
      return answer
    })
    circle.bend(node, getRecord, (answer) => {
      const { record } = answer
      if (record?.body.kind !== 'REGISTER_POINTER') return answer
      const shown = note(record)
      return shown === record || shown.body.sequence === record.body.sequence
        ? answer
        : { ...answer, record: shown }
    })
    circle.bend(node, getHistory, (answer) => (answer.length > 1 ? answer.slice(-1) : answer))
  },
}

/** Is honest for ten minutes, in which it wins its place in the tables, and a colluder from then on. */
const slowPoison: Adversary = {
  name: 'slow poisoning',
  corrupt(node, circle) {
    const fromMs = circle.world.nowMs + HONEST_MS
    const isHonest = (): boolean => circle.world.nowMs < fromMs
    circle.bend(node, findNode, (answer, { target }) => (isHonest() ? answer : circle.nearest(target, NAMED)))
    circle.bend(node, getRecord, (answer, { key }) =>
      isHonest() ? answer : { record: undefined, peers: circle.nearest(key, NAMED) },
    )
  },
}

/** A fifth of the members sits next to a key that is read; all take what is put, deny it and name each other. */
const sybils: Adversary = {
  name: 'Sybils near a key',
  groundShare: 0.2,
  corrupt(node, circle) {
    deleteAndLie.corrupt(node, circle)
    circle.replace(node, findNode, ({ target }) => circle.nearest(target, NAMED))
  },
}

/**
 * Owners sign two values under one sequence and give each to every other node near the key. Members show askers of one
 * half of the key space the one and those of the other half the other.
 */
const equivocate: Adversary = {
  name: 'equivocation',
  corrupt(node, circle) {
    circle.bend(node, getRecord, (answer, { key }, { id }) => {
      const rivals = circle.rivals.get(toHex(key))
      const record = rivals?.[isInUpperHalf(keyOfNode(id)) ? 0 : 1]
      return record === undefined ? answer : { ...answer, record }
    })
  },
  async publish(circle) {
    const [owner] = circle.members
    return owner === undefined ? [] : [await signTwice(owner, circle)]
  },
}

/**
 * Nobody can accuse anybody in this protocol: no message speaks about the behaviour of another. What is left is to name
 * honest nodes where nobody is, so that who believes it dials in vain and takes them for dead.
 */
const slander: Adversary = {
  name: 'slander',
  corrupt(node, circle) {
    const slandered = (peers: readonly Peer[]): Peer[] => peers.map(({ id }) => ({ id, addresses: NOBODY }))
    circle.bend(node, findNode, slandered)
    circle.bend(node, getRecord, (answer) => ({ record: undefined, peers: slandered(answer.peers) }))
  },
}

/** What the others are measured against. */
export const NO_ADVERSARY: Adversary = { name: 'nobody hostile', corrupt: () => undefined }

export const ADVERSARIES: readonly Adversary[] = [
  drop,
  collude,
  endEarly,
  inventNearer,
  deleteAndLie,
  showStale,
  slowPoison,
  sybils,
  equivocate,
  slander,
]

/**
 * Signs two values under sequence 1 and gives the nodes near the key one each, by turns. The one with the lower hash has
 * the higher bytes, so that who goes by anything but the hash takes the other.
 */
async function signTwice(node: SimulatedNode, circle: Circle): Promise<HostileRegister> {
  const { crypto, id: owner } = node
  const name = 'two-faced'
  const issuedUnixMs = circle.world.clock.unixMs()
  const place = { kind: 'REGISTER_POINTER', subject: subjectOfName(crypto, name), owner } as const
  const key = keyOfRecord(crypto, place)
  const sign = (value: Uint8Array) => {
    const payload = encodeRegister(value)
    const body = { ...place, payload, sequence: 1, issuedUnixMs, expiresUnixMs: issuedUnixMs + DAY_MS }
    const [record] = signRecords(crypto, [body])
    if (record === undefined) throw new EspalierError('INVALID_STATE', 'a batch of one has one record')
    return { value, record, bodyHash: crypto.hash(record.bodyBytes) }
  }
  const lower = sign(Uint8Array.of(0))
  let higher = sign(Uint8Array.of(1))
  for (let face = 2; compareBytes(higher.bodyHash, lower.bodyHash) > 0; face += 1) {
    higher = sign(Uint8Array.of(face))
  }
  const signed = [higher, lower]
  circle.rivals.set(
    toHex(key),
    signed.map(({ record }) => record),
  )
  const { publicKey } = crypto
  const sender = { serves: true, addresses: node.rpc.addresses }
  const holders = await node.dht.findClosest(key)
  await Promise.allSettled(
    holders.flatMap(({ id }, at) => {
      const record = signed[at % signed.length]?.record
      if (id === undefined || record === undefined) return []
      return [node.rpc.request(id, putRecord, { sender, record, publicKey })]
    }),
  )
  return { owner, name, values: signed.map(({ value }) => value) }
}

function isInUpperHalf([first = 0]: Key): boolean {
  return first >= 128
}
