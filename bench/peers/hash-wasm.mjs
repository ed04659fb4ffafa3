// BLAKE3 of hash-wasm: one hasher that is used again and again, its fastest form.
import { pattern, repeat, serve } from '../lib/child.mjs'

await serve(async () => {
  const { createBLAKE3 } = await import('hash-wasm')
  const hasher = await createBLAKE3()
  return {
    operations: {
      hash({ seconds, messageBytes }) {
        const message = pattern(messageBytes)
        return repeat(seconds, () => hasher.init().update(message).digest('binary'))
      },
    },
  }
})
