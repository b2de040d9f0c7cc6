/**
 * Bytes to text and back, exactly: `encode(decode(bytes))` is `bytes`, whatever they are.
 */

export interface Decoded {
  text: string
  /** UTF-8's mark was in front. It is not part of `text`. */
  bom: boolean
  /** `bytes`: not UTF-8; each character of `text` is one byte. */
  encoding: "utf-8" | "bytes"
}

export function decode(data: Uint8Array): Decoded {
  const bom = data.length >= 3 && data[0] === 0xef && data[1] === 0xbb && data[2] === 0xbf
  const content = bom ? data.subarray(3) : data
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(content)
  // The decoder writes U+FFFD for what it cannot read; a file may also really contain it.
  if (!text.includes("\ufffd") || firstDifference(new TextEncoder().encode(text), content) < 0) {
    return { text, bom, encoding: "utf-8" }
  }
  return { text: oneCharacterPerByte(data), bom: false, encoding: "bytes" }
}

export function encode({ text, bom, encoding }: Decoded): Uint8Array {
  if (encoding === "bytes") return Uint8Array.from(text, (character) => character.charCodeAt(0))
  return new TextEncoder().encode(bom ? `\ufeff${text}` : text)
}

/** About where bytes stop being UTF-8; -1 if they never do. */
export function firstInvalidByte(data: Uint8Array): number {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(data)
  return firstDifference(new TextEncoder().encode(text), data)
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length)
  for (let at = 0; at < common; at += 1) if (a[at] !== b[at]) return at
  return a.length === b.length ? -1 : common
}

/** In slices: a call takes only so many arguments. */
function oneCharacterPerByte(data: Uint8Array): string {
  let text = ""
  for (let at = 0; at < data.length; at += 8192) {
    text += String.fromCharCode(...data.subarray(at, at + 8192))
  }
  return text
}
