// ML-DSA-65 and ML-KEM-768 of liboqs as WebAssembly.
import { check, countUp, pattern, repeat, serve } from '../lib/child.mjs'

await serve(async () => {
  const { createMLDSA65, createMLKEM768 } = await import('@openforge-sh/liboqs')
  const [signer, kem] = await Promise.all([createMLDSA65(), createMLKEM768()])
  return {
    operations: {
      sign({ seconds, messageBytes }) {
        const { secretKey } = signer.generateKeyPair()
        const message = pattern(messageBytes)
        return repeat(seconds, () => {
          countUp(message)
          signer.sign(message, secretKey)
        })
      },
      verify({ seconds, messageBytes }) {
        const { publicKey, secretKey } = signer.generateKeyPair()
        const message = pattern(messageBytes)
        const signature = signer.sign(message, secretKey)
        return repeat(seconds, () =>
          check(signer.verify(message, signature, publicKey), 'the signature is good'),
        )
      },
      encapsulate({ seconds }) {
        const { publicKey } = kem.generateKeyPair()
        return repeat(seconds, () => kem.encapsulate(publicKey))
      },
      decapsulate({ seconds }) {
        const { publicKey, secretKey } = kem.generateKeyPair()
        const { ciphertext } = kem.encapsulate(publicKey)
        return repeat(seconds, () => kem.decapsulate(ciphertext, secretKey))
      },
    },
  }
})
