import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import type { ModuleKind } from './example.ts'
import { managerCommand, type ManagerName, type NodeRuntime } from './tools.ts'

/** How long a program of a project may run: a build from source on a machine that does much else. 30 minutes. */
export const LONGEST_MS = 1_800_000

/** Nothing listens on the discard port: whoever goes round the registry of the test fails at once. */
const CLOSED = 'http://127.0.0.1:9'

export interface ProjectOptions {
  readonly manager: ManagerName
  readonly runtime: NodeRuntime
  readonly registryUrl: string
  /** Caches and stores are below it, so that several projects of one run share their downloads. */
  readonly home: string
  /** Where the project is made; what was there is removed. Default: a new directory. */
  readonly place?: string
  /** For the package manager and every program. */
  readonly env?: Readonly<Record<string, string>>
}

export interface Outcome {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** An empty project, the package manager that fills it, and the Node that runs what is in it. */
export class Project {
  readonly directory: string
  readonly #options: ProjectOptions
  readonly #environment: Readonly<Record<string, string>>

  constructor(options: ProjectOptions) {
    this.#options = options
    this.directory = realpathSync(emptyDirectory(options.place))
    this.#environment = environmentOf(options)
    const { line } = options.runtime
    this.#write('package.json', {
      name: 'empty-project',
      version: '1.0.0',
      private: true,
      // What npm offers to allow one script and no other.
      ...(compilesSqlite(line) ? { allowScripts: { 'better-sqlite3': true } } : {}),
    })
    writeFileSync(
      join(this.directory, '.npmrc'),
      `registry=${options.registryUrl}\n${compilesSqlite(line) ? 'strict-allow-scripts=true' : 'ignore-scripts=true'}\n`,
    )
    // pnpm takes the same from a file of its own, and fails when a script is neither allowed nor refused.
    if (compilesSqlite(line)) {
      writeFileSync(join(this.directory, 'pnpm-workspace.yaml'), 'allowBuilds:\n  better-sqlite3: true\n')
    }
  }

  /** Adds packages; `withoutOptional` leaves the platform's package out. */
  async add(
    packages: readonly string[],
    { withoutOptional = false }: { readonly withoutOptional?: boolean } = {},
  ): Promise<Outcome> {
    const isPnpm = this.#options.manager === 'pnpm12'
    const optional = isPnpm ? '--no-optional' : '--omit=optional'
    const flags = withoutOptional ? [optional] : []
    return this.#manage([isPnpm ? 'add' : 'install', ...packages, ...flags])
  }

  /** Runs a command that a package brought: `npx …`, `pnpm exec …`. */
  exec(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    const isPnpm = this.#options.manager === 'pnpm12'
    return this.#manage(['exec', ...(isPnpm ? [] : ['--offline', '--']), ...words], env)
  }

  /** Runs a program's text as a file of the project. */
  run(source: string, kind: ModuleKind, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    // A directory of its own, because the example leaves its nodes' directories behind.
    const file = join(
      mkdtempSync(join(this.directory, 'run-')),
      kind === 'esm' ? 'program.mjs' : 'program.cjs',
    )
    writeFileSync(file, source)
    return this.#spawn(this.#options.runtime.node, [file], env, dirname(file))
  }

  /** Runs a file of the project with the project's Node. */
  runFile(words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    return this.#spawn(this.#options.runtime.node, words, env)
  }

  /** Where a package's file is. */
  path(...names: readonly string[]): string {
    return join(this.directory, 'node_modules', ...names)
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true })
  }

  #manage(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    const [program, ...first] = managerCommand(this.#options.manager, this.#options.runtime)
    return this.#spawn(program, [...first, ...args], env)
  }

  #write(name: string, value: unknown): void {
    writeFileSync(join(this.directory, name), JSON.stringify(value, null, 2))
  }

  #spawn(
    program: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    cwd = this.directory,
  ): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, {
        cwd,
        env: { ...this.#environment, ...this.#options.env, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: LONGEST_MS,
        killSignal: 'SIGKILL',
      })
      let stdout = ''
      let stderr = ''
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
      child.on('error', reject)
      child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
    })
  }
}

function emptyDirectory(place: string | undefined): string {
  if (place === undefined) return mkdtempSync(join(tmpdir(), 'espalier-project-'))
  rmSync(place, { recursive: true, force: true })
  mkdirSync(place, { recursive: true })
  return place
}

/** better-sqlite3 13 needs Node-API 10, which Node 20 lacks: 12 is installed there, and it compiles itself. */
export function compilesSqlite(line: number): boolean {
  return line < 22
}

/** The machine's environment without its npm settings, every way out closed and every cache elsewhere. */
function environmentOf({ runtime, registryUrl, home }: ProjectOptions): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined &&
      !/^(npm_|pnpm_|node_|espalier_|napi_rs_|vitest|https?_proxy|no_proxy)/i.test(entry[0]),
  )
  const inside = (name: string): string => {
    const path = join(home, name)
    mkdirSync(path, { recursive: true })
    return path
  }
  return {
    ...Object.fromEntries(kept),
    PATH: [dirname(runtime.node), process.env['PATH']].join(delimiter),
    npm_config_registry: registryUrl,
    npm_config_userconfig: join(inside('config'), 'npmrc'),
    npm_config_globalconfig: join(inside('config'), 'global-npmrc'),
    npm_config_cache: inside('npm-cache'),
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
    npm_config_nodedir: runtime.headers,
    npm_config_store_dir: inside('pnpm-store'),
    pnpm_config_store_dir: inside('pnpm-store'),
    XDG_CONFIG_HOME: inside('config'),
    XDG_CACHE_HOME: inside('cache'),
    XDG_DATA_HOME: inside('data'),
    XDG_STATE_HOME: inside('state'),
    HTTP_PROXY: CLOSED,
    HTTPS_PROXY: CLOSED,
    http_proxy: CLOSED,
    https_proxy: CLOSED,
    NO_PROXY: '127.0.0.1',
    no_proxy: '127.0.0.1',
    CI: '1',
    JOBS: '2',
  }
}
