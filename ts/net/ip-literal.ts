import { isIP } from 'node:net'

/** 16-bit groups of an IP literal: two for IPv4, eight for IPv6; nothing for text that is none, or that names a zone. */
export function parseGroups(host: string): number[] | undefined {
  const family = isIP(host)
  if (family === 4) return parseV4(host)
  if (family === 0 || host.includes('%')) return undefined
  const [left = '', right] = host.split('::')
  const head = parseV6Part(left)
  const tail = right === undefined ? [] : parseV6Part(right)
  const zeros = new Array<number>(8 - head.length - tail.length).fill(0)
  return [...head, ...zeros, ...tail]
}

function parseV4(text: string): number[] {
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number)
  return [a * 256 + b, c * 256 + d]
}

function parseV6Part(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => (group.includes('.') ? parseV4(group) : [parseInt(group, 16)]))
}
