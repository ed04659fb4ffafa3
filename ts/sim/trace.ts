import { createHash } from 'node:crypto'

/** Words gathered before they are hashed: one call for each message would cost more than the message. */
const ROOM = 4_096

/** What happened, as a running SHA-256: equal for equal runs, different after the first difference. */
export class Trace {
  readonly #hash = createHash('sha256')
  readonly #words = new Int32Array(ROOM)
  #used = 0

  line(text: string): void {
    this.#flush()
    this.#hash.update(text)
  }

  /** Four small numbers: what a message is told by, at a hundredth of the cost of a line. */
  words(a: number, b: number, c: number, d: number): void {
    if (this.#used === ROOM) this.#flush()
    const words = this.#words
    words[this.#used] = a
    words[this.#used + 1] = b
    words[this.#used + 2] = c
    words[this.#used + 3] = d
    this.#used += 4
  }

  digest(): string {
    this.#flush()
    return this.#hash.copy().digest('hex')
  }

  #flush(): void {
    if (this.#used === 0) return
    const { buffer } = this.#words
    this.#hash.update(new Uint8Array(buffer, 0, this.#used * 4))
    this.#used = 0
  }
}
