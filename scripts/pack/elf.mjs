// What a Linux addon asks of the machine that loads it: read from the file itself, so that it needs no tool.

const SHT_DYNAMIC = 6
const SHT_DYNSYM = 11
const SHT_GNU_VERNEED = 0x6ffffffe
const DT_NEEDED = 1n
const SHN_UNDEF = 0
/** `e_machine`, in Node's words. */
const CPU = { 62: 'x64', 183: 'arm64' }

/**
 * The libraries that a 64-bit little-endian ELF file names, the symbol versions that it wants of them, and the names that
 * it gives (`{ cpu: 'x64', libraries: ['libc.so.6'], versions: ['GLIBC_2.17'], exported: [] }`). Throws for anything else.
 * Layout: System V gABI "ELF header", "Dynamic section", "Symbol table"; LSB 5.0 §10.7 "Symbol versioning".
 */
export function readElf(bytes) {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46) throw new Error('not an ELF file')
  if (bytes[4] !== 2 || bytes[5] !== 1) throw new Error('not a 64-bit little-endian ELF file')
  const sections = readSections(bytes)
  return {
    cpu: CPU[bytes.readUInt16LE(18)],
    libraries: sections
      .filter(({ type }) => type === SHT_DYNAMIC)
      .flatMap((section) => needed(bytes, section, sections)),
    versions: [
      ...new Set(
        sections
          .filter(({ type }) => type === SHT_GNU_VERNEED)
          .flatMap((section) => versionNeeds(bytes, section, sections)),
      ),
    ].sort(),
    exported: sections
      .filter(({ type }) => type === SHT_DYNSYM)
      .flatMap((section) => definedNames(bytes, section, sections)),
  }
}

/** The newest version of `family` (`GLIBC`) among `versions`, or `undefined`. `GLIBC_PRIVATE` counts as newest of all. */
export function newest(versions, family) {
  return versions
    .filter((version) => version.startsWith(`${family}_`))
    .map((version) => version.slice(family.length + 1))
    .reduce((best, version) => (best === undefined || isNewer(version, best) ? version : best), undefined)
}

/** Whether the dotted version `left` is above `right`. */
export function isNewer(left, right) {
  const [a, b] = [left, right].map((text) =>
    text.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : Infinity)),
  )
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const [x, y] = [a[at] ?? 0, b[at] ?? 0]
    if (x !== y) return x > y
  }
  return false
}

function readSections(bytes) {
  const table = Number(bytes.readBigUInt64LE(40))
  const entrySize = bytes.readUInt16LE(58)
  const count = bytes.readUInt16LE(60)
  return Array.from({ length: count }, (_, index) => {
    const at = table + index * entrySize
    return {
      type: bytes.readUInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      size: Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
      info: bytes.readUInt32LE(at + 44),
    }
  })
}

function needed(bytes, section, sections) {
  const names = []
  for (let at = section.offset; at < section.offset + section.size; at += 16) {
    if (bytes.readBigUInt64LE(at) !== DT_NEEDED) continue
    names.push(textAt(bytes, sections[section.link], Number(bytes.readBigUInt64LE(at + 8))))
  }
  return names
}

/** Names of a symbol table that the file itself gives: global or weak, and defined. */
function definedNames(bytes, section, sections) {
  const names = []
  for (let at = section.offset; at < section.offset + section.size; at += 24) {
    const isLocal = bytes[at + 4] >>> 4 === 0
    if (isLocal || bytes.readUInt16LE(at + 6) === SHN_UNDEF) continue
    names.push(textAt(bytes, sections[section.link], bytes.readUInt32LE(at)))
  }
  return names
}

function versionNeeds(bytes, section, sections) {
  const strings = sections[section.link]
  const found = []
  let at = section.offset
  // `info` counts the libraries; each has a chain of versions.
  for (let library = 0; library < section.info; library++) {
    const count = bytes.readUInt16LE(at + 2)
    let entry = at + bytes.readUInt32LE(at + 8)
    for (let index = 0; index < count; index++) {
      found.push(textAt(bytes, strings, bytes.readUInt32LE(entry + 8)))
      entry += bytes.readUInt32LE(entry + 12)
    }
    at += bytes.readUInt32LE(at + 12)
  }
  return found
}

function textAt(bytes, strings, offset) {
  const start = strings.offset + offset
  return bytes.toString('latin1', start, bytes.indexOf(0, start))
}
