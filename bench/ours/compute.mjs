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

function hashing({ hashInto, hashMany }) {
  return {
    hash({ seconds, messageBytes }) {
      const message = pattern(messageBytes)
      const out = new Uint8Array(32)
      return repeat(seconds, () => hashInto(message, out))
    },
    hashMany({ seconds, messageBytes }) {
      const messages = Array.from({ length: BATCH }, (_, seed) => pattern(messageBytes, seed))
      return repeat(seconds, () => hashMany(messages), BATCH)
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

function sealing({ seal }) {
  return {
    seal({ seconds, messageBytes }) {
      const key = pattern(32)
      const nonce = new Uint8Array(12)
      const message = pattern(messageBytes)
      return repeat(seconds, () => {
        countUp(nonce)
        seal({ key, nonce, message, algorithm: 'chacha20-poly1305' })
      })
    },
  }
}

function coding({ ErasureCoder }) {
  return {
    encode({ seconds, dataShards, parityShards, shardBytes }) {
      const coder = new ErasureCoder({ dataShards, parityShards })
      const data = shardsOf(dataShards, shardBytes)
      return repeat(seconds, () => coder.encode(data))
    },
    repair({ seconds, dataShards, parityShards, shardBytes }) {
      const coder = new ErasureCoder({ dataShards, parityShards })
      const data = shardsOf(dataShards, shardBytes)
      const lost = Math.min(dataShards, parityShards)
      const shards = [...data, ...coder.encode(data)].map((shard, index) =>
        index < lost ? undefined : shard,
      )
      const rebuilt = coder.reconstruct(shards)
      check(
        data.every((shard, index) => Buffer.compare(shard, rebuilt[index]) === 0),
        'the lost shards',
      )
      return repeat(seconds, () => coder.reconstruct(shards))
    },
  }
}

function shardsOf(count, bytes) {
  return Array.from({ length: count }, (_, seed) => pattern(bytes, seed))
}
