// What Windows asks of an addon: read from the file itself, so that it needs no tool.

const CPU = { 0x8664: 'x64', 0xaa64: 'arm64' }
const PE32_PLUS = 0x20b
/** Places in the table of directories. */
const EXPORTS = 0
const IMPORTS = 1
const DELAYED_IMPORTS = 13

/**
 * Of a 64-bit DLL: the processor (`x64`), the libraries it names, those that are loaded on first use included, and the
 * names it gives. Throws for anything else. Layout: Microsoft, "PE Format", "Optional Header", ".edata", ".idata".
 */
export function readPe(bytes) {
  if (bytes.length < 64 || bytes.toString('latin1', 0, 2) !== 'MZ') throw new Error('not a PE file')
  const header = bytes.readUInt32LE(60)
  if (header + 24 > bytes.length || bytes.toString('latin1', header, header + 4) !== 'PE\0\0')
    throw new Error('not a PE file')
  const optional = header + 24
  if (bytes.readUInt16LE(optional) !== PE32_PLUS) throw new Error('not a 64-bit PE file')
  const file = { bytes, sections: readSections(bytes, header) }
  const directory = (index) => bytes.readUInt32LE(optional + 112 + index * 8)
  return {
    cpu: CPU[bytes.readUInt16LE(header + 4)],
    libraries: [
      ...namesOfLibraries(file, directory(IMPORTS), { entry: 20, name: 12 }),
      ...namesOfLibraries(file, directory(DELAYED_IMPORTS), { entry: 32, name: 4 }),
    ],
    exported: exportedNames(file, directory(EXPORTS)),
  }
}

function readSections(bytes, header) {
  const count = bytes.readUInt16LE(header + 6)
  const table = header + 24 + bytes.readUInt16LE(header + 20)
  return Array.from({ length: count }, (_, index) => {
    const at = table + index * 40
    return {
      address: bytes.readUInt32LE(at + 12),
      size: bytes.readUInt32LE(at + 16),
      offset: bytes.readUInt32LE(at + 20),
    }
  })
}

/** Where in the file stands what is loaded at `address`. */
function placeOf({ sections }, address) {
  const section = sections.find((one) => address >= one.address && address < one.address + one.size)
  if (section === undefined) throw new Error(`nothing is loaded at 0x${address.toString(16)}`)
  return section.offset + address - section.address
}

function textAt({ bytes }, start) {
  return bytes.toString('latin1', start, bytes.indexOf(0, start))
}

/** A table of entries of one size, ended by one without a name. */
function namesOfLibraries(file, address, { entry, name }) {
  const names = []
  if (address === 0) return names
  for (let at = placeOf(file, address); ; at += entry) {
    const text = file.bytes.readUInt32LE(at + name)
    if (text === 0) return names
    names.push(textAt(file, placeOf(file, text)))
  }
}

function exportedNames(file, address) {
  if (address === 0) return []
  const at = placeOf(file, address)
  const count = file.bytes.readUInt32LE(at + 24)
  if (count === 0) return []
  const table = placeOf(file, file.bytes.readUInt32LE(at + 32))
  return Array.from({ length: count }, (_, index) =>
    textAt(file, placeOf(file, file.bytes.readUInt32LE(table + index * 4))),
  )
}
