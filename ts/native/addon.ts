/**
 * What the native addon exports for cryptography, written by hand beside crates/binding/src. Every
 * `…Out` argument is filled by the call; handles are numbers of this thread's tables; sizes are in bytes.
 */
export interface CryptoAddon {
  version(): string

  hashInto(data: Uint8Array, out: Uint8Array, offset: number): void
  hashMany(items: readonly Uint8Array[], digestsOut: Uint8Array): void
  /** With a key it is the keyed hash, with a context the derivation; `out` may be of any length up to 65,536. */
  hashWith(key: Uint8Array | undefined, context: string | undefined, data: Uint8Array, out: Uint8Array): void
  hasherOpen(key: Uint8Array | undefined, context: string | undefined): number
  hasherUpdate(handle: number, data: Uint8Array): void
  hasherDigest(handle: number, out: Uint8Array): void
  hasherClose(handle: number): void

  signingKeyGenerate(publicKeyOut: Uint8Array): number
  signingKeyFromSeed(seed: Uint8Array, publicKeyOut: Uint8Array): number
  signingKeyClose(handle: number): void
  sign(handle: number, message: Uint8Array, signatureOut: Uint8Array): void
  signWith(
    handle: number,
    message: Uint8Array,
    context: Uint8Array,
    deterministic: boolean,
    provider: string,
    signatureOut: Uint8Array,
  ): void
  verify(
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
    context: Uint8Array,
    provider: string,
  ): boolean
  /** `parts` holds publicKey, message, signature, context of each item in turn; the result one byte for each. */
  verifyMany(job: number, parts: readonly Uint8Array[]): void

  decapsulationKeyGenerate(encapsulationKeyOut: Uint8Array): number
  decapsulationKeyFromSeed(seed: Uint8Array, encapsulationKeyOut: Uint8Array): number
  decapsulationKeyClose(handle: number): void
  decapsulate(handle: number, ciphertext: Uint8Array, sharedSecretOut: Uint8Array): void
  encapsulate(encapsulationKey: Uint8Array, ciphertextOut: Uint8Array, sharedSecretOut: Uint8Array): void

  seal(
    extendedNonce: boolean,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    message: Uint8Array,
    sealedOut: Uint8Array,
  ): void
  open(
    extendedNonce: boolean,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
    messageOut: Uint8Array,
  ): void

  outboard(data: Uint8Array, rootOut: Uint8Array, nodesOut: Uint8Array): void
  extractSlice(data: Uint8Array, nodes: Uint8Array, start: number, length: number): Uint8Array
  verifySlice(
    root: Uint8Array,
    totalBytes: number,
    start: number,
    length: number,
    slice: Uint8Array,
  ): Uint8Array

  erasureEncode(
    dataShards: number,
    parityShards: number,
    data: readonly Uint8Array[],
    parityOut: readonly Uint8Array[],
  ): void
  erasureReconstruct(
    dataShards: number,
    parityShards: number,
    shards: readonly (Uint8Array | undefined)[],
    rebuiltOut: readonly Uint8Array[],
  ): void

  /** The result is all shards, then their ids. */
  encodeSegment(
    job: number,
    key: Uint8Array,
    index: number,
    plaintext: Uint8Array,
    dataShards: number,
    parityShards: number,
  ): void
  decodeSegment(
    job: number,
    key: Uint8Array,
    index: number,
    plaintextBytes: number,
    dataShards: number,
    parityShards: number,
    shards: readonly (Uint8Array | undefined)[],
  ): void

  /** Results of the next three: handle (u32, little-endian), 1 when protected, node id, public key. */
  keyFileCreate(job: number, path: string, passphrase: string | undefined, hardness: string): void
  keyFileImport(
    job: number,
    path: string,
    words: string,
    passphrase: string | undefined,
    hardness: string,
  ): void
  keyFileOpen(job: number, path: string, passphrase: string | undefined): void
  keyFileReplace(
    job: number,
    path: string,
    handle: number,
    passphrase: string | undefined,
    hardness: string,
  ): void
  keyWords(handle: number): string

  /** Writes a new file and syncs it, if the bytes have this BLAKE3 hash. */
  shardFileWrite(job: number, path: string, bytes: Uint8Array, hash: Uint8Array): void
  /** Moves a file to its place and syncs the folder. */
  shardFilePlace(job: number, from: string, to: string): void
  /** The result is the file's bytes; `NOT_FOUND` when size or hash is another. */
  shardFileRead(job: number, path: string, sizeBytes: number, hash: Uint8Array): void

  lockFile(path: string): number
  unlockFile(handle: number): void
  gateWatch(gate: number, timeoutMs: number): boolean
  gateEnter(gate: number, timeoutMs: number): boolean
  gateLeave(gate: number): void
}

/** The completion queue: one wake-up for many completions. */
export interface QueueAddon {
  /** `wake` is called on this thread whenever completions wait. */
  queueAttach(wake: () => void): void
  /** While held, what is in flight keeps the process alive. */
  queueHold(held: boolean): void
  /** Fills `records` (16 bytes each: kind, id, payload bytes, status; u32 little-endian); answers their number. */
  queueDrain(records: Uint8Array): number
  /** Moves the payload of a drained job into `payloadOut`, which has exactly its size. */
  queueTake(job: number, payloadOut: Uint8Array): void
}

/** Endpoints and what goes over them; crates/binding/src/transport.rs. Numbers name endpoints, links and streams. */
export interface TransportAddon {
  transportOpen(
    key: number,
    hosts: readonly string[],
    port: number,
    accepts: boolean,
    /** Whether sessions are remembered. */
    resumes: boolean,
  ): number
  /** Key exchange, signature, cipher suite, then the bound addresses. */
  transportFacts(endpoint: number): string[]
  transportDial(
    endpoint: number,
    operation: number,
    expected: Uint8Array | undefined,
    addresses: readonly string[],
    timeoutMs: number,
    /** A batch of one request that goes as early as it may. */
    first?: Uint8Array,
  ): void
  /** Records as ts/native/request-batch.ts writes them. */
  transportSubmit(endpoint: number, batch: Uint8Array): void
  transportOpenStream(
    endpoint: number,
    operation: number,
    link: number,
    trafficClass: number,
    protocol: number,
    timeoutMs: number,
  ): void
  /** Bytes that were copied into `target`; 0 at the end, −1 to wait for an event. */
  transportRead(endpoint: number, stream: number, target: Uint8Array): number
  /** True when the writer should wait for an event. */
  transportWrite(endpoint: number, stream: number, bytes: Uint8Array): boolean
  transportFinish(endpoint: number, stream: number, operation: number): void
  transportReset(endpoint: number, stream: number, code: number): void
  transportRelease(endpoint: number, stream: number): void
  transportDatagram(endpoint: number, link: number, protocol: number, body: Uint8Array): boolean
  transportCloseLink(endpoint: number, link: number, code: number): void
  /** Round-trip time in milliseconds, bytes sent, bytes received, packets lost. */
  transportStats(endpoint: number, link: number): number[]
  transportClose(endpoint: number): void
  transportForget(endpoint: number): void
  transportCloseAll(): void
  /** Fills `slab` with the oldest events; answers the bytes that they take. */
  transportDrain(slab: Uint8Array): number
}

/** Counts and levels of one moment: names of a family and its labels with points between, and as many values. */
export interface Figures {
  readonly names: readonly string[]
  readonly values: readonly number[]
}

/** Figures for whoever watches; crates/binding/src/metrics.rs. */
export interface MetricsAddon {
  /** What an endpoint has counted (`count.…`) and holds (`level.…`). */
  transportFigures(endpoint: number): Figures
  /** Smoothed round-trip times of at most `most` links, in seconds. */
  transportRoundTrips(endpoint: number, most: number): number[]
  /** What this thread holds natively, and the jobs of the process. */
  nativeFigures(): Figures
  /** How many bytes peers may make this process hold, from 16 MiB. */
  limitPeerBytes(bytes: number): void
}

/** Everything that the addon exports. */
export interface Addon extends CryptoAddon, QueueAddon, TransportAddon, MetricsAddon {}
