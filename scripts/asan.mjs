// `npm run test:asan`: the Rust tests of core and transport under AddressSanitizer. Needs nightly Rust, whose standard
// library stays as it is: the allocator is watched for it and for the C of aws-lc all the same. Words after `--` go to
// `cargo test`, a test's name for example.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './install.mjs'

const FLAGS = '-Zsanitizer=address -Cforce-frame-pointers=yes'
const CRATES = ['espalier-core', 'espalier-transport']
/** Reads one byte behind a block of the heap. */
const FAULTY = `fn main() {
    let block = vec![1_u8; std::env::args().count() + 15].into_boxed_slice();
    println!("{}", unsafe { *std::hint::black_box(block.as_ptr()).add(block.len()) });
}
`

const host = /^host: (\S+)$/m.exec(rustc(['-vV']).stdout)?.[1]
if (host === undefined) fail('this needs nightly Rust: rustup toolchain install nightly')
proveThatItFinds()

const words = [
  ...['+nightly', 'test', '--locked', '--lib', '--tests', '--target', host],
  ...CRATES.flatMap((name) => ['-p', name]),
  ...process.argv.slice(2),
]
const testing = spawn('cargo', words, {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
  env: {
    ...process.env,
    RUSTFLAGS: FLAGS,
    // Beside the other builds, which it would otherwise throw away.
    CARGO_TARGET_DIR: join(root, 'build', 'asan'),
    // Without it the first random call of a process waits for jitter entropy.
    AWS_LC_SYS_NO_JITTER_ENTROPY: '1',
  },
})
let output = ''
testing.stdout.on('data', (chunk) => {
  output += chunk
  process.stdout.write(chunk)
})
testing.on('error', (error) => fail(`cargo could not be started: ${error.message}`))
testing.on('close', (code) => {
  if (code !== 0) fail('a test failed, or AddressSanitizer found something (above)')
  const passed = [...output.matchAll(/^test result: ok\. (\d+) passed/gm)].map(([, count]) => Number(count))
  const total = passed.reduce((sum, count) => sum + count, 0)
  if (total === 0) fail('no test ran')
  console.log(`AddressSanitizer: ${total} tests, no finding`)
})

/** A sanitizer that is not at work finds nothing either. */
function proveThatItFinds() {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-asan-'))
  try {
    const [source, program] = [join(folder, 'faulty.rs'), join(folder, 'faulty')]
    writeFileSync(source, FAULTY)
    const built = rustc([...FLAGS.split(' '), '-o', program, source])
    if (built.status !== 0) fail(`nightly Rust can't build for AddressSanitizer here:\n${built.stderr}`)
    const { status, stderr } = spawnSync(program, [], { encoding: 'utf8' })
    if (status === 0 || !stderr.includes('AddressSanitizer: heap-buffer-overflow')) {
      fail(`AddressSanitizer overlooked a fault that was made for it:\n${stderr}`)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function rustc(words) {
  return spawnSync('rustc', ['+nightly', ...words], { cwd: root, encoding: 'utf8' })
}

function fail(text) {
  console.error(text)
  process.exit(1)
}
