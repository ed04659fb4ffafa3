// Node's own cryptography. ML-DSA and ML-KEM need Node 24, so the benchmark runs this by a newer binary.
import * as crypto from 'node:crypto'
import { check, countUp, pattern, repeat, serve } from '../lib/child.mjs'

await serve(() => ({
  operations: {
    sign({ seconds, messageBytes }) {
      const { privateKey } = crypto.generateKeyPairSync('ml-dsa-65')
      const message = pattern(messageBytes)
      return repeat(seconds, () => {
        countUp(message)
        crypto.sign(null, message, privateKey)
      })
    },
    verify({ seconds, messageBytes }) {
      const { publicKey, privateKey } = crypto.generateKeyPairSync('ml-dsa-65')
      const message = pattern(messageBytes)
      const signature = crypto.sign(null, message, privateKey)
      return repeat(seconds, () =>
        check(crypto.verify(null, message, publicKey, signature), 'the signature is good'),
      )
    },
    encapsulate({ seconds }) {
      const { publicKey } = crypto.generateKeyPairSync('ml-kem-768')
      return repeat(seconds, () => crypto.encapsulate(publicKey))
    },
    decapsulate({ seconds }) {
      const { publicKey, privateKey } = crypto.generateKeyPairSync('ml-kem-768')
      const { ciphertext } = crypto.encapsulate(publicKey)
      return repeat(seconds, () => crypto.decapsulate(privateKey, ciphertext))
    },
    seal({ seconds, messageBytes }) {
      const key = pattern(32)
      const nonce = new Uint8Array(12)
      const message = pattern(messageBytes)
      return repeat(seconds, () => {
        countUp(nonce)
        const cipher = crypto.createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
        cipher.update(message)
        cipher.final()
        cipher.getAuthTag()
      })
    },
  },
}))
