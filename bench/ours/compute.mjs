// Espalier's cryptography and erasure coding, through the compiled library as a user calls it.
import { check, countUp, pattern, repeat, serve } from '../lib/child.mjs'

const BATCH = 1024

await serve(async () => {
  const native = (name) => import(`../../dist/native/${name}.js`)
  const [hash, sign, kem, seal, erasure] = await Promise.all(
    ['hash', 'sign', 'kem', 'seal', 'erasure'].map(native),
  )
  return {
    operations: {
      ...hashing(hash),
      ...signing(sign),
      ...encapsulating(kem),
      ...sealing(seal),
      ...coding(erasure),
    },
  }
})

function hashing({ hashInto, hashManyInto }) {
  return {
    hash({ seconds, messageBytes }) {
      const message = pattern(messageBytes)
      const out = new Uint8Array(32)
      return repeat(seconds, () => hashInto(message, out))
    },
    hashMany({ seconds, messageBytes }) {
      const messages = Array.from({ length: BATCH }, (_, seed) => pattern(messageBytes, seed))
      const out = new Uint8Array(32 * BATCH)
      return repeat(seconds, () => hashManyInto(messages, out), BATCH)
    },
  }
}

function signing({ SigningKey, verify }) {
  return {
    sign({ seconds, messageBytes }) {
      const key = SigningKey.generate()
      const message = pattern(messageBytes)
      return repeat(seconds, () => {
        // The time to sign depends on the message.
        countUp(message)
        key.sign(message)
      })
    },
    verify({ seconds, messageBytes }) {
      const key = SigningKey.generate()
      const message = pattern(messageBytes)
      const signature = key.sign(message)
      const { publicKey } = key
      return repeat(seconds, () => check(verify(publicKey, message, signature), 'the signature is good'))
    },
  }
}

function encapsulating({ DecapsulationKey, encapsulate }) {
  return {
    encapsulate({ seconds }) {
      const { encapsulationKey } = DecapsulationKey.generate()
      return repeat(seconds, () => encapsulate(encapsulationKey))
    },
    decapsulate({ seconds }) {
      const key = DecapsulationKey.generate()
      const { ciphertext } = encapsulate(key.encapsulationKey)
      return repeat(seconds, () => key.decapsulate(ciphertext))
    },
  }
}

function sealing({ sealInto }) {
  return {
    seal({ seconds, messageBytes }) {
      const key = pattern(32)
      const nonce = new Uint8Array(12)
      const sealed = new Uint8Array(messageBytes + 16)
      const message = pattern(messageBytes)
      return repeat(seconds, () => {
        countUp(nonce)
        sealInto({ key, nonce, message, algorithm: 'chacha20-poly1305' }, sealed)
      })
    },
  }
}

function coding({ ErasureCoder }) {
  return {
    encode({ seconds, dataShards, parityShards, shardBytes }) {
      const coder = new ErasureCoder({ dataShards, parityShards })
      const data = shardsOf(dataShards, shardBytes)
      const parity = shardsOf(parityShards, shardBytes)
      return repeat(seconds, () => coder.encodeInto(data, parity))
    },
    repair({ seconds, dataShards, parityShards, shardBytes }) {
      const coder = new ErasureCoder({ dataShards, parityShards })
      const data = shardsOf(dataShards, shardBytes)
      const lost = Math.min(dataShards, parityShards)
      const shards = [...data, ...coder.encode(data)].map((shard, index) =>
        index < lost ? undefined : shard,
      )
      const rebuilt = Array.from({ length: lost }, () => new Uint8Array(shardBytes))
      coder.reconstructInto(shards, rebuilt)
      check(
        rebuilt.every((shard, index) => Buffer.compare(shard, data[index]) === 0),
        'the lost shards',
      )
      return repeat(seconds, () => coder.reconstructInto(shards, rebuilt))
    },
  }
}

function shardsOf(count, bytes) {
  return Array.from({ length: count }, (_, seed) => pattern(bytes, seed))
}
