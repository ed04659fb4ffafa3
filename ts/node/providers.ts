import type { NodeId } from '../base/identity.ts'
import type { ProviderAssignments, Providers } from '../dht/providers.ts'
import type { Announcement } from '../dht/provider-publisher.ts'
import type { Provider } from '../dht/provider-reader.ts'
import type { CallOptions } from '../net/transport.ts'
import { checkCall, checkChild, checkRoot } from './check-call.ts'

/**
 * Which root a child belongs to, and how long to wait.
 *
 * @category Providers
 */
export interface ChildOptions extends CallOptions {
  /** 32 bytes. */
  readonly root: Uint8Array
}

/**
 * Who has which children of a root: `node.providers`. A root is a collection (an object, a directory, a model) and a
 * child a part of it, each named by 32 bytes, usually a hash. A node announces all that it has of a root with one
 * record, in 12.6 bits a child; a reader finds all providers of the root at once.
 *
 * @category Providers
 */
export class NodeProviders {
  readonly #providers: Providers

  /** @internal */
  constructor(providers: Providers) {
    this.#providers = providers
  }

  /**
   * States that this node has the children `ids` of `root` (1 to 1,048,576, each 32 bytes), and no others. One signed
   * record goes to the nodes nearest to the root and is kept alive while this node runs, and from its next start on,
   * until it is withdrawn. Up to 64 ids more than before cost no request; any other change issues a new summary, whose
   * `epoch` is higher. Codes: `INVALID_ARGUMENT`, `UNSUPPORTED` (a `clientOnly` node), `LIMIT_EXCEEDED` (2,048 roots,
   * 4,194,304 ids), `QUORUM_FAILED` (no node took it; it is offered again by itself), `STORAGE_FULL`, `TIMEOUT`
   * (default 30,000 ms), `ABORTED`.
   *
   * @example
   * ```ts
   * import { localNetwork } from 'espalier/testing'
   *
   * const network = await localNetwork(4)
   * const [alice, bob] = network.nodes
   * const root = Buffer.alloc(32, 'a root')
   * const parts = ['one', 'two', 'three'].map((name) => Buffer.alloc(32, name))
   * await alice!.providers.announce(root, parts)
   * const found = await bob!.providers.find(parts[1]!, { root })
   * console.log(found.map(({ id }) => id === alice!.id)) // [ true ]
   * await network.stop()
   * ```
   */
  async announce(
    root: Uint8Array,
    ids: Iterable<Uint8Array>,
    options: CallOptions = {},
  ): Promise<Announcement> {
    return this.#providers.announce(root, ids, checkCall(options))
  }

  /**
   * Takes the announcement of `root` back; answers whether there was one. A node that can't be reached now keeps it
   * until it expires. Codes: `INVALID_ARGUMENT`, `STORAGE_FULL`, `TIMEOUT` (default 30,000 ms), `ABORTED`.
   */
  async withdraw(root: Uint8Array, options: CallOptions = {}): Promise<boolean> {
    return this.#providers.withdraw(root, checkCall(options))
  }

  /**
   * The providers that claim the child `id` of `options.root`, the one named least first; none when nobody is known to
   * have it. The network is asked once for a root and each provider once for its summary: later children of the
   * same root cost no look-up. About one answer in 2,048 names a provider that does not have the child; tell
   * {@link missed} of it. Codes: `INVALID_ARGUMENT`, `TIMEOUT` (default 30,000 ms), `ABORTED`.
   */
  async find(id: Uint8Array, options: ChildOptions): Promise<readonly Provider[]> {
    return this.#providers.find(id, checkChild(options))
  }

  /**
   * Whom to ask for which of the children `ids`, so that nobody has much more to serve than the others: the ids by
   * provider, where the providers are, and the ids that nobody claims. Codes as {@link find}.
   */
  async plan(ids: Iterable<Uint8Array>, options: ChildOptions): Promise<ProviderAssignments> {
    return this.#providers.plan(ids, checkChild(options))
  }

  /**
   * A provider did not have a child that it claims: it is not named for it again until it makes a new summary. Answers
   * whether chance explains its misses no longer; then it is named for nothing any more. Code: `INVALID_ARGUMENT`.
   */
  missed(id: Uint8Array, options: { readonly root: Uint8Array; readonly provider: NodeId }): boolean {
    const { root, provider } = checkRoot(options)
    return this.#providers.missed(id, { root, provider })
  }
}
