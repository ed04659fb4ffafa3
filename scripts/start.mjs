// `npm start`: installs, builds and runs the demonstration. Arguments go to `espalier demo`.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ensureInstalled, root, run } from './install.mjs'
import { requireToolchain } from './toolchain.mjs'

const json = process.argv.includes('--json')
// With --json only the demonstration writes to standard output.
const quiet = json ? { stdio: ['ignore', 2, 2] } : {}

requireToolchain()
ensureInstalled()
run('npm', ['run', '--silent', 'build'], quiet)

const demo = spawn(
  process.execPath,
  [join(root, 'dist', 'cli', 'main.js'), 'demo', ...process.argv.slice(2)],
  {
    cwd: process.env.INIT_CWD ?? root,
    stdio: 'inherit',
  },
)
// Ctrl-C reaches the demonstration too; this process waits until it has cleaned up.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (signal !== 'SIGINT') demo.kill(signal)
  })
}
demo.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
