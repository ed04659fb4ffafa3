import { expect } from 'vitest'
import { runProgram, type Ending } from './child.ts'
import { holdPort } from './udp.ts'

// Every program gets these: a node on loopback, and facts on standard output.
const PRELUDE = `
import { createNode, EspalierError } from 'espalier'
const [dataDir, ...args] = process.argv.slice(2)
const say = (fact) => process.stdout.write(JSON.stringify(fact) + '\\n')
const node = (options = {}) => createNode({ dataDir, hosts: ['127.0.0.1'], allowPrivate: true, ...options })
const codeOf = async (attempt) => {
  try { await attempt() } catch (error) {
    return error instanceof EspalierError ? error.code : 'not typed: ' + error
  }
}
`

/** Runs a program that may use what the prelude makes, on `dataDir`. */
export function runOn(dataDir: string, body: string, args: readonly string[] = []): Promise<Ending> {
  return runProgram(`${PRELUDE}${body}`, { args: [dataDir, ...args] })
}

/** The program ended well and complained about nothing. */
export function expectDone(ending: Ending): void {
  expect(ending, ending.stderr).toMatchObject({ code: 0, signal: null, stderr: '' })
}

/** The one fact that a program said. */
export function only(ending: Ending): Readonly<Record<string, unknown>> {
  expect(ending.facts).toHaveLength(1)
  return ending.facts[0]!
}

/** A UDP port that nothing holds. */
export async function freePort(): Promise<number> {
  const socket = await holdPort(0)
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(() => resolve()))
  return port
}
