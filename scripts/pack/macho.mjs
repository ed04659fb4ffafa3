// What macOS asks of an addon: read from the file itself, because the addon is linked on Linux.

const MAGIC_64 = 0xfeedfacf
const CPU = { 0x01000007: 'x64', 0x0100000c: 'arm64' }
const LC_CODE_SIGNATURE = 0x1d
const LC_BUILD_VERSION = 0x32
const LC_LOAD_DYLIB = 0xc

/**
 * Of a 64-bit Mach-O file: the processor (`arm64`), whether it carries a code signature, the oldest macOS that it says it
 * runs on (`11.0`), and the libraries it names. Throws for anything else. Layout: <mach-o/loader.h>.
 */
export function readMachO(bytes) {
  if (bytes.length < 32 || bytes.readUInt32LE(0) !== MAGIC_64) throw new Error('not a 64-bit Mach-O file')
  const commands = loadCommands(bytes)
  const version = commands.find(({ kind }) => kind === LC_BUILD_VERSION)
  return {
    cpu: CPU[bytes.readUInt32LE(4)],
    isSigned: commands.some(({ kind }) => kind === LC_CODE_SIGNATURE),
    minimumMacOs: version && dotted(bytes.readUInt32LE(version.at + 12)),
    libraries: commands
      .filter(({ kind }) => kind === LC_LOAD_DYLIB)
      .map(({ at, size }) => textAt(bytes, at + bytes.readUInt32LE(at + 8), at + size)),
  }
}

function loadCommands(bytes) {
  const commands = []
  let at = 32
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    const size = bytes.readUInt32LE(at + 4)
    if (size < 8) throw new Error('a load command without a size')
    // The highest bit says only that the loader must know the command.
    commands.push({ kind: bytes.readUInt32LE(at) & 0x7fffffff, at, size })
    at += size
  }
  return commands
}

/** Packed as xxxx.yy.zz. */
function dotted(packed) {
  return `${packed >>> 16}.${(packed >>> 8) & 0xff}`
}

function textAt(bytes, start, end) {
  const text = bytes.toString('latin1', start, end)
  return text.slice(0, text.indexOf('\0'))
}
