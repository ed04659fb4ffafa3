// `npm test`: installs, builds, type-checks, lints and runs every test of both languages.
// `--long` adds the long runs; everything after `--` goes to vitest.
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureInstalled, root, run } from './install.mjs'
import { requireToolchain } from './toolchain.mjs'

const long = process.argv.includes('--long')
const separator = process.argv.indexOf('--')
const vitestArgs = separator < 0 ? [] : process.argv.slice(separator + 1)
const report = join(root, 'build', 'vitest.json')

requireToolchain()
ensureInstalled()
// Nothing can be tested without these two, so a failure ends the run.
step('build')
run('npm', ['run', '--silent', 'build'])

const failures = []
await check('types', 'npm', ['run', '--silent', 'typecheck'])
await check('lint', 'npm', ['run', '--silent', 'lint'])
await check('format of Rust', 'cargo', ['fmt', '--all', '--check'])
await check('lint of Rust', 'cargo', [
  'clippy',
  '--locked',
  '--workspace',
  '--all-targets',
  '--',
  '-D',
  'warnings',
])
const rust = await check('tests of Rust', 'cargo', ['test', '--locked', '--workspace', '--quiet'])
rmSync(report, { force: true })
await check(
  'tests of TypeScript',
  join(root, 'node_modules', '.bin', 'vitest'),
  ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...vitestArgs],
  { ESPALIER_LONG: long ? '1' : '' },
)
await check('API documentation', 'npm', ['run', '--silent', 'docs'])

const totals = { passed: 0, failed: 0, skipped: 0 }
for (const [, passed, failed, ignored] of rust.matchAll(/(\d+) passed; (\d+) failed; (\d+) ignored/g)) {
  totals.passed += Number(passed)
  totals.failed += Number(failed)
  totals.skipped += Number(ignored)
}
if (existsSync(report)) {
  const results = JSON.parse(readFileSync(report, 'utf8'))
  totals.passed += results.numPassedTests
  totals.failed += results.numFailedTests
  totals.skipped += results.numPendingTests
}
for (const name of failures) console.log(`failed step: ${name}`)
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
process.exit(failures.length === 0 ? 0 : 1)

function step(name) {
  console.log(`\n── ${name} ${'─'.repeat(Math.max(3, 70 - name.length))}`)
}

/** Runs one check, shows its output and returns it; a failure is remembered and the next check runs. */
function check(name, command, args, env = {}) {
  step(name)
  return new Promise((resolve) => {
    let output = ''
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
      shell: process.platform === 'win32',
    })
    child.stdout.on('data', (chunk) => {
      process.stdout.write(chunk)
      output += chunk
    })
    child.on('error', (error) => {
      console.error(`${command} could not be started: ${error.message}`)
      failures.push(name)
      resolve(output)
    })
    child.on('close', (code) => {
      if (code !== 0) failures.push(name)
      resolve(output)
    })
  })
}
