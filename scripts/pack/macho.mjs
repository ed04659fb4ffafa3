// What macOS asks of an addon: read from the file itself, because the addon is linked on Linux.

const MAGIC_64 = 0xfeedfacf
const CPU = { 0x01000007: 'x64', 0x0100000c: 'arm64' }
const LC_CODE_SIGNATURE = 0x1d
/** The two commands that say the oldest macOS, and where in them. */
const OLDEST = { 0x24: 8, 0x32: 12 }
const LC_LOAD_DYLIB = 0xc
/** The two commands that say where the exports are, and where in them (offset, then size). */
const EXPORTS = { 0x22: 40, 0x33: 8 }

/**
 * Of a 64-bit Mach-O file: the processor (`arm64`), whether it carries a code signature, the oldest macOS that it says it
 * runs on (`11.0`), the libraries it names, and the names it gives, without C's underscore. Throws for anything else.
 * Layout: <mach-o/loader.h>.
 */
export function readMachO(bytes) {
  if (bytes.length < 32 || bytes.readUInt32LE(0) !== MAGIC_64) throw new Error('not a 64-bit Mach-O file')
  const commands = loadCommands(bytes)
  const version = commands.find(({ kind }) => kind in OLDEST)
  return {
    cpu: CPU[bytes.readUInt32LE(4)],
    isSigned: commands.some(({ kind }) => kind === LC_CODE_SIGNATURE),
    minimumMacOs: version && dotted(bytes.readUInt32LE(version.at + OLDEST[version.kind])),
    libraries: commands
      .filter(({ kind }) => kind === LC_LOAD_DYLIB)
      .map(({ at, size }) => textAt(bytes, at + bytes.readUInt32LE(at + 8), at + size)),
    exported: commands
      .filter(({ kind }) => kind in EXPORTS)
      .flatMap(({ kind, at }) => exportedNames(bytes, at + EXPORTS[kind])),
  }
}

/**
 * The names of an export trie, whose place and size stand at `at`. A node: size of what it says about its own name, that,
 * how many children it has, and for each the letters that lead to it and where it is.
 */
function exportedNames(bytes, at) {
  const start = bytes.readUInt32LE(at)
  const end = start + bytes.readUInt32LE(at + 4)
  if (end > bytes.length) throw new Error('an export trie that is cut short')
  const trie = bytes.subarray(start, end)
  const names = []
  const waiting = trie.length > 0 ? [{ offset: 0, prefix: '' }] : []
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const own = uleb(trie, node.offset)
    if (own.value > 0) names.push(node.prefix.replace(/^_/, ''))
    let next = own.end + own.value
    for (let left = trie[next++]; left > 0; left--) {
      const letters = textAt(trie, next, trie.length)
      const child = uleb(trie, next + letters.length + 1)
      // No name is that long: a node that leads back to itself would never end.
      if (node.prefix.length > 4096) throw new Error('an export trie without an end')
      waiting.push({ offset: child.value, prefix: node.prefix + letters })
      next = child.end
    }
  }
  return names
}

/** An unsigned LEB128 number: seven bits in a byte, the least first. */
function uleb(bytes, at) {
  let value = 0
  for (let factor = 1; ; factor *= 128) {
    const byte = bytes.readUInt8(at++)
    value += (byte & 0x7f) * factor
    if (byte < 0x80) return { value, end: at }
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
