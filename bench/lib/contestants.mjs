// How the contestants of the groups are started.
import { join } from 'node:path'
import { existsSync } from 'node:fs'
import { bench, nativeProgram, nativeTransport, newerNode } from './paths.mjs'
import { Program } from './program.mjs'

/** A program that computes: one process, one thread of measuring. */
export function node(path, { newer = false, env = {} } = {}) {
  return async () => {
    const [program] = await Program.greeted(nodeFor(newer), [join(bench, path)], { env })
    return sessionOf(program)
  }
}

/** The plain native program that computes. */
export async function nativeCompute() {
  const program = new Program(built(nativeProgram), ['compute'])
  return sessionOf(program)
}

/** Two processes over loopback: the server's greeting tells the client where it is. */
export function nodePair(path, { newer = false } = {}) {
  const script = join(bench, path)
  return () =>
    pair(
      () => Program.greeted(nodeFor(newer), [script, 'server']),
      (greeting) => Program.greeted(nodeFor(newer), [script, 'client', JSON.stringify(greeting)]),
    )
}

/** The plain native pair. */
export function nativePair() {
  return pair(
    () => Program.greeted(built(nativeProgram), ['quinn-server']),
    ({ address }) => [new Program(built(nativeProgram), ['quinn-client', address])],
  )
}

/** Espalier's transport without JavaScript. */
export function nativeTransportPair() {
  return pair(
    () => Program.greeted(built(nativeTransport), ['server']),
    ({ address, id }) => [new Program(built(nativeTransport), ['client', address, id])],
  )
}

async function pair(startServer, startClient) {
  const [server, greeting] = await startServer()
  let client
  try {
    ;[client] = await startClient(greeting)
  } catch (error) {
    await server.close()
    throw error
  }
  return {
    get alive() {
      return server.alive && client.alive
    },
    async measure(command) {
      const watch = command.op === 'hold' ? 'memory' : 'cpu'
      const before = await server.ask({ op: watch })
      const measurement = await client.ask(command)
      const after = await server.ask({ op: watch })
      return {
        ...measurement,
        serverCpuSeconds: after.cpuSeconds - before.cpuSeconds,
        serverGrowthBytes: after.rssBytes - before.rssBytes,
      }
    },
    async close() {
      await client.close()
      await server.close()
    },
  }
}

function sessionOf(program) {
  return {
    get alive() {
      return program.alive
    },
    measure: (command) => program.ask(command),
    close: () => program.close(),
  }
}

function nodeFor(newer) {
  if (!newer) return process.execPath
  const path = newerNode()
  if (!existsSync(path)) throw new Error('the newer Node among the peers is not installed')
  return path
}

function built(program) {
  if (!existsSync(program)) throw new Error('bench/native could not be built')
  return program
}
