// Values that a caller may hand over by mistake or by malice. They are made anew for each call, because calls
// change some of them; what one of them throws by itself is a `Thrown`.

/** What a hostile value throws from its own code: it may come back to the caller as it is. */
export class Thrown extends RangeError {}

const LONG_TEXT = 'a'.repeat(1 << 20)

/** Called by values that call back into what is being called. */
let reenter = () => undefined

export function setReentry(call) {
  reenter = call
}

const throwing = () => {
  throw new Thrown('from a hostile value')
}

const everyTrap = () => new Proxy({}, { get: () => throwing })

class LyingBytes extends Uint8Array {
  get length() {
    return 2 ** 31
  }
  get byteLength() {
    return 2 ** 31
  }
  get byteOffset() {
    return -1
  }
  get buffer() {
    return throwing()
  }
}

class LyingList extends Array {
  map() {
    return 'not a list'
  }
  flatMap() {
    return [Symbol('from flatMap')]
  }
  filter() {
    return 7
  }
  find() {
    return throwing()
  }
  slice() {
    return undefined
  }
  *[Symbol.iterator]() {
    yield {}
  }
}

/** Each with a name, so that a failure says what was passed. */
export const HOSTILE = Object.entries({
  undefined: () => undefined,
  null: () => null,
  true: () => true,
  NaN: () => NaN,
  'minus zero': () => -0,
  0: () => 0,
  '-1': () => -1,
  0.5: () => 0.5,
  Infinity: () => Infinity,
  '-Infinity': () => -Infinity,
  '2^32': () => 2 ** 32,
  '2^53': () => 2 ** 53,
  '1e308': () => 1e308,
  '5n': () => 5n,
  '2n^64': () => 2n ** 64n,
  'empty text': () => '',
  text: () => 'text',
  '1 MiB of text': () => LONG_TEXT,
  'half a surrogate pair': () => '\ud800',
  'text with a zero': () => 'a\0b',
  'another prototype': () => '__proto__',
  symbol: () => Symbol('s'),
  function: () => () => 1,
  'throwing function': () => throwing,
  'async function': () => async () => 1,
  class: () => class {},
  object: () => ({}),
  'object without prototype': () => Object.create(null),
  'frozen object': () => Object.freeze({ a: 1 }),
  'cyclic object': () => {
    const cycle = {}
    cycle.self = cycle
    return cycle
  },
  'object that throws when read': () =>
    new Proxy(
      {},
      { get: throwing, has: throwing, ownKeys: throwing, getPrototypeOf: throwing, set: throwing },
    ),
  'proxy whose traps throw': () => new Proxy({}, everyTrap()),
  'revoked proxy': () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  },
  'revoked proxy of a list': () => {
    const { proxy, revoke } = Proxy.revocable([], {})
    revoke()
    return proxy
  },
  'proxy of bytes': () => new Proxy(new Uint8Array(32), {}),
  'object that becomes no text': () => ({
    toString: throwing,
    valueOf: throwing,
    [Symbol.toPrimitive]: throwing,
  }),
  'empty list': () => [],
  'list of undefined': () => [undefined],
  'list of bytes and text': () => [new Uint8Array(32), 'text'],
  'list without elements': () => new Array(4_294_967_295),
  'list that throws when read': () => Object.defineProperty([1, 2], 1, { get: throwing }),
  'list that calls back when read': () => Object.defineProperty([1, 2], 1, { get: () => reenter() }),
  'list that moves its memory when read': () => {
    const bytes = new Uint8Array(65_536)
    const get = () => structuredClone(bytes, { transfer: [bytes.buffer] })
    return Object.defineProperty([bytes, bytes], 1, { get })
  },
  'list of a lying class': () => LyingList.of(new Uint8Array(32), new Uint8Array(32)),
  'proxy of a list of any length': () =>
    new Proxy([], { get: (list, name) => (name === 'length' ? 1e9 : Reflect.get(list, name)) }),
  'no bytes': () => new Uint8Array(0),
  '32 bytes': () => new Uint8Array(32),
  'detached bytes': () => {
    const bytes = new Uint8Array(32)
    structuredClone(bytes, { transfer: [bytes.buffer] })
    return bytes
  },
  'bytes that shrank': () => {
    const buffer = new ArrayBuffer(64, { maxByteLength: 64 })
    const bytes = new Uint8Array(buffer, 32, 32)
    buffer.resize(8)
    return bytes
  },
  'bytes as long as their buffer': () => new Uint8Array(new ArrayBuffer(32, { maxByteLength: 64 })),
  'shared bytes': () => new Uint8Array(new SharedArrayBuffer(32)),
  'bytes of a lying class': () => new LyingBytes(32),
  Buffer: () => Buffer.alloc(32),
  Uint16Array: () => new Uint16Array(16),
  Float64Array: () => new Float64Array(4),
  BigUint64Array: () => new BigUint64Array(4),
  DataView: () => new DataView(new ArrayBuffer(32)),
  ArrayBuffer: () => new ArrayBuffer(32),
  SharedArrayBuffer: () => new SharedArrayBuffer(32),
  Date: () => new Date(NaN),
  RegExp: () => /a/g,
  Map: () => new Map([[1, 1]]),
  promise: () => Promise.resolve(1),
  'promise that rejects': () => {
    const promise = Promise.reject(new Thrown('a rejection of its owner'))
    promise.catch(() => undefined)
    return promise
  },
  'thenable that throws': () => ({ then: throwing }),
  'iterable that throws': () => ({ [Symbol.iterator]: throwing, [Symbol.asyncIterator]: throwing }),
  'iterable without an iterator': () => ({ [Symbol.asyncIterator]: () => undefined }),
  'aborted signal': () => AbortSignal.abort(new Thrown('the caller gave up')),
  'boxed text': () => new String('text'),
  'boxed number': () => new Number(1),
  Error: () => new Error('an error as a value'),
  arguments: () =>
    (function () {
      return arguments
    })(1, 2),
  globalThis: () => globalThis,
}).map(([name, make]) => ({ name, make }))

/** Reproducible choices (mulberry32). */
export class Dice {
  #state

  constructor(seed) {
    this.#state = seed >>> 0
  }

  below(bound) {
    let word = (this.#state = (this.#state + 0x6d2b79f5) >>> 0)
    word = Math.imul(word ^ (word >>> 15), word | 1)
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61)
    return ((word ^ (word >>> 14)) >>> 0) % bound
  }

  pick(list) {
    return list[this.below(list.length)]
  }
}
