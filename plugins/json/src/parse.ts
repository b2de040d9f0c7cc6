/**
 * JSON as in RFC 8259 to a tree that still knows how everything was spelled. No recursion: what is
 * nested too deep is an error and no end of the stack.
 */

export interface Node {
  kind: "leaf" | "object" | "array"
  /** Of a leaf, as spelled. */
  raw: string
  /** Of a property, as spelled, with quotes. */
  key: string | undefined
  /** White space: before it (or its key), around the colon, after it; inside, before the end. */
  before: string
  colonBefore: string
  colonAfter: string
  after: string
  close: string
  children: Node[]
}

/** The value with the space around it; nothing if the text is nothing but space. */
export function parse(text: string): { root: Node | undefined; start: string; end: string } {
  let at = 0

  const space = (): string => {
    const from = at
    for (;;) {
      const code = text.charCodeAt(at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return text.slice(from, at)
      at += 1
    }
  }
  const fail = (wanted: string): never => {
    return refuse(text, at, `expected ${wanted}, found ${found(text, at)}`)
  }
  const token = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (!match) return undefined
    at += match[0].length
    return match[0]
  }
  const string = (wanted: string): string => {
    if (text[at] !== '"') fail(wanted)
    const from = at
    at = endOfString(text, at)
    return text.slice(from, at)
  }

  const start = space()
  if (at === text.length) return { root: undefined, start, end: "" }

  const open: Node[] = []
  let root: Node | undefined
  let node = fresh(start)
  for (;;) {
    const head = text[at]
    if (head === "{" || head === "[") {
      at += 1
      node.kind = head === "{" ? "object" : "array"
      if (open.length === DEEPEST) {
        refuse(text, at - 1, `nested deeper than ${DEEPEST} levels`)
      }
    } else if (head === '"') {
      node.raw = string("a value")
    } else {
      node.raw = token(SIMPLE) ?? badSimple(text, at, fail, open.at(-1))
    }

    if (root === undefined) root = node
    let parent = open.at(-1)
    if (parent) parent.children.push(node)

    let inside = space()
    if (node.kind !== "leaf") {
      open.push(node)
      parent = node
      if (text[at] !== (node.kind === "object" ? "}" : "]")) {
        node = next(parent, inside)
        continue
      }
    } else {
      node.after = inside
    }
    // As many ends as there are, then a comma or the end of all.
    for (;;) {
      if (!parent) {
        if (at < text.length) fail("the end")
        const end = root.after
        root.after = ""
        return { root, start, end }
      }
      const last = parent.children.at(-1)
      if (text[at] === (parent.kind === "object" ? "}" : "]")) {
        at += 1
        if (last) [parent.close, last.after] = [last.after, ""]
        else parent.close = inside
        open.pop()
        parent.after = inside = space()
        parent = open.at(-1)
      } else if (last && text[at] === ",") {
        at += 1
        node = next(parent, space())
        break
      } else {
        fail(`"," or "${parent.kind === "object" ? "}" : "]"}"`)
      }
    }
  }

  /** Up to where the next value begins. */
  function next(parent: Node, before: string): Node {
    const child = fresh(before)
    if (parent.kind === "object") {
      child.key = string("a property's name in double quotes")
      child.colonBefore = space()
      if (text[at] !== ":") fail('":"')
      at += 1
      child.colonAfter = space()
    }
    return child
  }
}

function fresh(before: string): Node {
  return {
    kind: "leaf",
    raw: "",
    key: undefined,
    before,
    colonBefore: "",
    colonAfter: "",
    after: "",
    close: "",
    children: [],
  }
}

/** Past the closing quote of the string that begins at `from`. */
function endOfString(text: string, from: number): number {
  const quote = text.indexOf('"', from + 1)
  // Nothing to escape: so it is mostly.
  if (quote >= 0 && !ESCAPE_OR_CONTROL.test(text.slice(from + 1, quote))) return quote + 1
  for (let at = from + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0x22) return at + 1
    if (code < 0x20) refuse(text, at, "a control character in a string")
    if (code !== 0x5c) continue
    ESCAPE.lastIndex = at
    const escape = ESCAPE.exec(text)?.[0]
    if (escape === undefined) refuse(text, at, "an escape that JSON does not have")
    else at += escape.length - 1
  }
  return refuse(text, text.length, "a string without an end")
}

function badSimple(text: string, at: number, fail: (wanted: string) => never, parent: Node | undefined): never {
  const comma = parent !== undefined && parent.children.length > 0 && text[at] === "]"
  return fail(comma ? 'a value after ","' : "a value")
}

function refuse(text: string, at: number, why: string): never {
  throw new Error(`invalid JSON at ${place(text, at)}: ${why}`)
}

function place(text: string, at: number): string {
  const lines = text.slice(0, at).split(/\r\n|\n|\r/)
  return `line ${lines.length}, column ${(lines.at(-1) as string).length + 1} (offset ${at})`
}

function found(text: string, at: number): string {
  if (at >= text.length) return "the end"
  const word = /[\w.+-]{1,20}/y
  word.lastIndex = at
  return JSON.stringify(word.exec(text)?.[0] ?? String.fromCodePoint(text.codePointAt(at) as number))
}

const ESCAPE_OR_CONTROL = /[\\\u0000-\u001f]/
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
/** A number or a word, and not only the beginning of something else. */
const SIMPLE = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y

/** Ids are paths: twice as deep is four times as long in total. */
const DEEPEST = 256
