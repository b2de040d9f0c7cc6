// Text with its syntax in colour, as HTML for the layer behind a text area.
//
// Only colours: every letter keeps its place, or the caret would stand beside it.
import type { Kind } from "./examples.ts"

export function paint(kind: Kind | "text" | "file", text: string): string {
  if (text.length > MAX_PAINTED) return escape(text)
  if (kind === "json") return json(text)
  return kind === "markdown" ? markdown(text) : escape(text)
}

function json(text: string): string {
  let html = ""
  let from = 0
  for (const match of text.matchAll(JSON_TOKEN)) {
    const [token, string, colon, number, word] = match
    html += escape(text.slice(from, match.index))
    const name = string !== undefined ? (colon ? "key" : "string") : number !== undefined ? "number" : word !== undefined ? "word" : ""
    html += string !== undefined ? `${mark(name, string)}${escape(colon ?? "")}` : mark(name, token)
    from = match.index + token.length
  }
  return html + escape(text.slice(from))
}

function markdown(text: string): string {
  let isCode = false
  return text
    .split("\n")
    .map((line) => {
      if (/^\s*(```|~~~)/.test(line)) {
        isCode = !isCode
        return mark("code", line)
      }
      if (isCode) return mark("code", line)
      if (/^#{1,6}\s/.test(line)) return mark("head", line)
      if (/^\s*>/.test(line)) return mark("quote", line)
      const list = /^(\s*(?:[-*+]|\d+[.)])\s)(.*)$/.exec(line)
      return list ? mark("sign", list[1]!) + inline(list[2]!) : inline(line)
    })
    .join("\n")
}

function inline(line: string): string {
  let html = ""
  let from = 0
  for (const match of line.matchAll(/(`[^`]+`)|(\*\*[^*]+\*\*|__[^_]+__)|(\*[^*\s][^*]*\*)|(!?\[[^\]]*\]\([^)]*\))|(\|)/g)) {
    html += escape(line.slice(from, match.index))
    html += mark(match[1] ? "code" : match[2] ? "strong" : match[3] ? "em" : match[4] ? "link" : "sign", match[0])
    from = match.index + match[0].length
  }
  return html + escape(line.slice(from))
}

function mark(name: string, text: string): string {
  return name === "" ? escape(text) : `<span class="p-${name}">${escape(text)}</span>`
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
}

const JSON_TOKEN = /("(?:[^"\\\n]|\\.)*"?)(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g
const MAX_PAINTED = 60_000
