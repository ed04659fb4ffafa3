import { toHex } from '../base/bytes.ts'
import type { Key, NodeId } from '../base/identity.ts'

/** Earlier records that are kept of one register. */
export const MAX_SUPERSEDED = 8

/** A record in whose place a newer one is kept. */
export interface SupersededEntry {
  readonly key: Key
  readonly owner: NodeId
  /** The peer that is charged for it. */
  readonly source: NodeId
  readonly sequence: number
}

/** How many superseded records there may be: what the newest records leave of their limits. */
export interface SupersededRoom {
  readonly inAll: number
  readonly ofOwner: number
  readonly ofSource: number
}

/**
 * Decides which superseded records stay: at most {@link MAX_SUPERSEDED} of a register, and only what the newest
 * records leave room for. What was superseded first goes first. Bounded by the limits of `Values`.
 */
export class Superseded {
  /** In the order in which they were superseded, as are those below. */
  readonly #all = new Map<string, SupersededEntry>()
  readonly #byKey = new Groups()
  readonly #byOwner = new Groups()
  readonly #bySource = new Groups()

  get size(): number {
    return this.#all.size
  }

  hasOwner(owner: NodeId): boolean {
    return this.#byOwner.countOf(owner) > 0
  }

  add(entry: SupersededEntry): void {
    const name = nameOf(entry)
    this.delete(entry)
    this.#all.set(name, entry)
    this.#byKey.add(toHex(entry.key), name)
    this.#byOwner.add(entry.owner, name)
    this.#bySource.add(entry.source, name)
  }

  /** Takes one out and answers it. */
  delete(place: Pick<SupersededEntry, 'key' | 'sequence'>): SupersededEntry | undefined {
    const name = nameOf(place)
    const entry = this.#all.get(name)
    if (entry === undefined) return undefined
    this.#all.delete(name)
    this.#byKey.delete(toHex(entry.key), name)
    this.#byOwner.delete(entry.owner, name)
    this.#bySource.delete(entry.source, name)
    return entry
  }

  /** Takes out and answers what is too much now: of this register, its owner, the peer that brought it, and in all. */
  trim(place: Pick<SupersededEntry, 'key' | 'owner' | 'source'>, room: SupersededRoom): SupersededEntry[] {
    const surplus = (names: readonly string[]): SupersededEntry[] =>
      names.flatMap((name) => {
        const entry = this.#all.get(name)
        return entry === undefined ? [] : (this.delete(entry) ?? [])
      })
    return [
      ...surplus(this.#byKey.surplus(toHex(place.key), MAX_SUPERSEDED)),
      ...surplus(this.#byOwner.surplus(place.owner, room.ofOwner)),
      ...surplus(this.#bySource.surplus(place.source, room.ofSource)),
      ...surplus(firstOf(this.#all.keys(), this.#all.size - room.inAll)),
    ]
  }
}

/** Names by group, in the order in which they came; an empty group is gone. */
class Groups {
  readonly #groups = new Map<string, Set<string>>()

  /** The first names of the group, as many as it has over `max`. */
  surplus(group: string, max: number): readonly string[] {
    return firstOf(this.#groups.get(group) ?? [], this.countOf(group) - max)
  }

  countOf(group: string): number {
    return this.#groups.get(group)?.size ?? 0
  }

  add(group: string, name: string): void {
    const names = this.#groups.get(group) ?? new Set<string>()
    this.#groups.set(group, names.add(name))
  }

  delete(group: string, name: string): void {
    const names = this.#groups.get(group)
    names?.delete(name)
    if (names?.size === 0) this.#groups.delete(group)
  }
}

function firstOf(names: Iterable<string>, count: number): readonly string[] {
  const first: string[] = []
  if (count <= 0) return first
  for (const name of names) {
    first.push(name)
    if (first.length >= count) break
  }
  return first
}

function nameOf({ key, sequence }: Pick<SupersededEntry, 'key' | 'sequence'>): string {
  return `${toHex(key)} ${sequence}`
}
