/** Memory that several users share: whoever wants more than is left waits, first come first served. */
export class ByteBudget {
  readonly #totalBytes: number
  #freeBytes: number
  /** Bounded by the users, each of which waits once. */
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = []

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes
    this.#freeBytes = totalBytes
  }

  /** Resolves with the function that gives the bytes back; to be called once. More than all is all. */
  async take(wantedBytes: number): Promise<() => void> {
    const bytes = Math.min(wantedBytes, this.#totalBytes)
    if (this.#waiting.length === 0 && bytes <= this.#freeBytes) this.#freeBytes -= bytes
    else await new Promise<void>((go) => this.#waiting.push({ bytes, go }))
    return () => {
      this.#freeBytes += bytes
      this.#wake()
    }
  }

  #wake(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.bytes > this.#freeBytes) return
      this.#waiting.shift()
      this.#freeBytes -= next.bytes
      next.go()
    }
  }
}
