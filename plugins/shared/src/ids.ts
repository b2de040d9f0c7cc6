/**
 * Names for entities: the same content at the same place gets the same one, on every machine.
 */

/** Ten characters or so. Two different texts may get the same: see `unusedId`. */
export function hash(text: string): string {
  let a = 0x811c9dc5
  let b = 0x9e3779b9
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    a = Math.imul(a ^ code, 0x01000193)
    b = Math.imul(b ^ code, 0x85ebca6b)
    b ^= b >>> 15
  }
  a = Math.imul(a ^ (b >>> 16), 0xc2b2ae35)
  b = Math.imul(b ^ (a >>> 13), 0x27d4eb2f)
  a ^= a >>> 16
  b ^= b >>> 15
  return ((b >>> 0) * 0x100000 + ((a >>> 0) & 0xfffff)).toString(36)
}

/** `wanted`, or the first of `wanted~n2`, `wanted~n3`, … that nobody has; it is taken from then on. */
export function unusedId(wanted: string, taken: Set<string>): string {
  let id = wanted
  for (let count = 2; taken.has(id); count += 1) id = `${wanted}~n${count}`
  taken.add(id)
  return id
}

/**
 * Any string as a part of an id: `~` and `/` as in a JSON pointer (RFC 6901), and what cannot be in
 * an id (NUL, half a surrogate pair) as `~u` and four hexadecimal digits.
 */
export function escapeToken(text: string): string {
  if (!UNUSUAL.test(text)) return text
  return text.replace(
    // Without the flag u: a surrogate without its other half.
    /[~/\u0000]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
    (character) => {
      if (character === "~") return "~0"
      if (character === "/") return "~1"
      return `~u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
    },
  )
}

export function unescapeToken(token: string): string {
  if (!token.includes("~")) return token
  return token.replace(/~(0|1|u[0-9a-f]{4})/g, (_, code: string) => {
    if (code === "0") return "~"
    if (code === "1") return "/"
    return String.fromCharCode(Number.parseInt(code.slice(1), 16))
  })
}

const UNUSUAL = /[~/\u0000\ud800-\udfff]/
