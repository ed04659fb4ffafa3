import type { Key, NodeId } from '../base/identity.ts'

/** A node that completed a handshake with us. */
export interface Contact {
  readonly id: NodeId
  readonly key: Key
  /** When it last proved to be there. */
  readonly seenAtMs: number
  /** Requests in a row that it did not answer; 0 means known alive. */
  readonly failures: number
}

/** A contact that stays silent this often in a row leaves even when nobody waits for its place. */
export const MAX_FAILURES = 3

/** What came of a sighting. `check` names the contact to ping before it may lose its place. */
export type Sighting =
  { readonly kind: 'added' | 'known' } | { readonly kind: 'waiting'; readonly check: NodeId | undefined }

/**
 * Contacts of one distance class, the one heard of longest ago first. Old contacts are preferred:
 * the longer a node has been up, the likelier it stays, and an attacker cannot push them out by number.
 */
export class Bucket {
  readonly #capacity: number
  readonly #maxWaiting: number
  /** Bounded by `capacity`. */
  #contacts: Contact[] = []
  /** Newcomers that found the bucket full, latest last. Bounded by `maxWaiting`. */
  #waiting: Contact[] = []
  #checking: NodeId | undefined

  constructor(options: { readonly capacity: number; readonly maxWaiting: number }) {
    this.#capacity = options.capacity
    this.#maxWaiting = options.maxWaiting
  }

  get contacts(): readonly Contact[] {
    return this.#contacts
  }

  /** A node answered, or asked from a proved connection. */
  seen(contact: Contact): Sighting {
    this.endCheck(contact.id)
    const others = this.#contacts.filter(({ id }) => id !== contact.id)
    const isKnown = others.length < this.#contacts.length
    if (isKnown || others.length < this.#capacity) {
      this.#contacts = [...others, contact]
      this.#waiting = this.#waiting.filter(({ id }) => id !== contact.id)
      return { kind: isKnown ? 'known' : 'added' }
    }
    const rest = this.#waiting.filter(({ id }) => id !== contact.id)
    this.#waiting = [...rest, contact].slice(-this.#maxWaiting)
    return { kind: 'waiting', check: this.#startCheck() }
  }

  /** A request to it failed. Answers the contact that left, and who took its place. */
  failed(id: NodeId): { readonly removed: boolean; readonly promoted: NodeId | undefined } {
    this.endCheck(id)
    this.#waiting = this.#waiting.filter((waiting) => waiting.id !== id)
    const contact = this.#contacts.find((known) => known.id === id)
    if (contact === undefined) return { removed: false, promoted: undefined }
    const failures = contact.failures + 1
    if (this.#waiting.length === 0 && failures < MAX_FAILURES) {
      // It keeps its rank: silence is no sighting.
      this.#contacts = this.#contacts.map((known) => (known.id === id ? { ...known, failures } : known))
      return { removed: false, promoted: undefined }
    }
    return { removed: true, promoted: this.remove(id) }
  }

  endCheck(id: NodeId): void {
    if (id === this.#checking) this.#checking = undefined
  }

  /** Takes a contact out; answers who took its place. */
  remove(id: NodeId): NodeId | undefined {
    this.endCheck(id)
    this.#waiting = this.#waiting.filter((waiting) => waiting.id !== id)
    const rest = this.#contacts.filter((known) => known.id !== id)
    if (rest.length === this.#contacts.length) return undefined
    // The latest of those that wait is the likeliest to be alive.
    const next = this.#waiting.pop()
    this.#contacts = next === undefined ? rest : [...rest, next]
    return next?.id
  }

  /** At most one check at a time, of the contact heard of longest ago. */
  #startCheck(): NodeId | undefined {
    if (this.#checking !== undefined) return undefined
    this.#checking = this.#contacts[0]?.id
    return this.#checking
  }
}
