import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { fromMarkdown } from "mdast-util-from-markdown"
import { gfmFromMarkdown } from "mdast-util-gfm"
import { gfm } from "micromark-extension-gfm"
import { OneFile } from "../../shared/test/lix.ts"
import { blocksOf } from "../src/blocks.ts"
import { plugin } from "../src/index.ts"

const BLOCK = "lix_plugin_markdown_block"

const piece = fc.oneof(
  fc.constantFrom(
    "# Title", "Title\n=====", "A paragraph of some words.", "Two lines\nof text", "- one\n- two\n\n- three",
    "1. first\n   1. inner", "```js\n# no heading\n\n```", "    indented", "> quote\nlazy", "***", "---",
    "| a | b |\n|---|:-:|\n| 1 | 2 |", "<div>\n\n</div>", "[ref]: https://example.com \"t\"", "[^1]: note\n    more",
    "- [ ] todo", "&amp; \\* `code` *em* **strong** [l](u) ![i](u) <b> https://a.b", "+++\na = 1\n+++", "\tx", "a\\", "a  ",
  ),
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom("#", "-", "*", " ", "\n", ">", "|", "`", "a", "\t", "\r", "[", "]", ":", "=", "1", ".") }),
)
const markdown = fc
  .array(fc.tuple(piece, fc.constantFrom("\n\n", "\n\n", "\n", "\n\n\n", "\r\n\r\n", " \n\n", "")), { maxLength: 10 })
  .map((parts) => parts.flat().join(""))
const content = fc.oneof(
  markdown,
  markdown.map((text) => `---\ntitle: x\n---\n\n${text}`),
  markdown.map((text) => text.replaceAll(/\r?\n/g, "\r\n")),
  markdown.map((text) => `\ufeff${text}`),
  fc.uint8Array(),
)

test("any file reads back, after any edits", () => {
  fc.assert(
    fc.property(fc.array(content, { minLength: 1, maxLength: 4 }), (contents) => {
      const file = new OneFile(plugin)
      for (const one of contents) file.write(one)
      assert.deepEqual(file.write(file.bytes()), [], "the same content is no change")
    }),
    { numRuns: 300 },
  )
})

test("blocks are those of GitHub's Markdown", () => {
  fc.assert(
    fc.property(markdown, (text) => {
      const { children } = fromMarkdown(text, { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] })
      const expected = children.map(({ type, position }) => [type, text.slice(position!.start.offset, position!.end.offset)])
      // Front matter is the one thing that is not GitHub's.
      if (/^(---|\+\+\+)[ \t]*(\r|\n|$)/.test(text)) return
      assert.deepEqual(blocksOf(text).blocks.map((block) => [block.type, block.text]), expected)
    }),
    { numRuns: 300 },
  )
})

const DOCUMENT = `---
title: A walk
---

# A walk

We went out early, since the day was going to be hot.

- water
- bread

The hills were still grey when we reached the river.

## The river

| depth | width |
|-------|-------|
| 1 m   | 20 m  |

It was cold and clear, and nobody was there but us.
`

const blocks = (file: OneFile): [string, string][] =>
  [...file.rows.values()]
    .filter((row) => row.schema_key === BLOCK)
    .map((row) => [row.entity_id, String(row.snapshot_content["text"])])
const idOf = (file: OneFile, text: string): string => {
  const found = blocks(file).filter(([, one]) => one.includes(text))
  assert.equal(found.length, 1, text)
  return found[0]![0]
}

test("a block keeps its id when it is edited, moved, or both", () => {
  const file = new OneFile(plugin)
  file.write(DOCUMENT)
  assert.equal(blocks(file).length, 8)
  const write = (text: string): string[] => file.write(text).map((one) => one.entity_id)
  const early = idOf(file, "early")

  let text = DOCUMENT.replace("going to be hot", "going to be very hot")
  assert.deepEqual(write(text), [early])
  text = text.replace("- bread", "- bread\n- cheese")
  assert.deepEqual(write(text), [idOf(file, "cheese")])

  // To the end.
  const paragraph = "We went out early, since the day was going to be very hot.\n\n"
  text = `${text.replace(paragraph, "")}\n${paragraph.trimEnd()}\n`
  assert.deepEqual(write(text), [early])

  // Back to the front, with other words.
  text = text.replace("\nWe went out early, since the day was going to be very hot.\n", "")
  text = text.replace("# A walk\n\n", "# A walk\n\nWe left early, since the day was going to be very hot.\n\n")
  assert.deepEqual(write(text), [early])

  const heading = idOf(file, "## The river")
  assert.deepEqual(write(text.replace("## The river", "## The other one")), [heading])
})

test("what is inserted or deleted touches itself alone", () => {
  const file = new OneFile(plugin)
  file.write(DOCUMENT)
  const inserted = file.write(DOCUMENT.replace("## The river\n", "A new paragraph.\n\n## The river\n"))
  assert.deepEqual(inserted.map((one) => one.snapshot_content?.["text"]), ["A new paragraph."])
  const id = inserted[0]?.entity_id
  assert.deepEqual(file.write(DOCUMENT).map((one) => [one.entity_id, one.snapshot_content]), [[id, null]])
  assert.equal(file.write(DOCUMENT.replace("---\ntitle: A walk\n---\n\n", "")).length, 1)
})

test("the front matter, the table and all else are blocks with their types", () => {
  const file = new OneFile(plugin)
  file.write(DOCUMENT)
  const types = [...file.rows.values()].map((row) => row.snapshot_content["type"])
  assert.deepEqual(types, [undefined, "yaml", "heading", "paragraph", "list", "paragraph", "heading", "table", "paragraph"])
})

test("other line ends are a change of the document", () => {
  const file = new OneFile(plugin)
  file.write(DOCUMENT)
  assert.deepEqual(
    file.write(DOCUMENT.replaceAll("\n", "\r\n")).map((one) => one.snapshot_content),
    [{ newline: "\r\n", end: "\r\n" }],
  )
})

test("what two people wrote at one place both stays", () => {
  const [mine, yours] = [new OneFile(plugin), new OneFile(plugin)]
  for (const file of [mine, yours]) file.write("# T\n\nend\n")
  mine.write("# T\n\nmine\n\nend\n")
  yours.write("# T\n\nyours\n\nend\n")
  for (const [key, row] of yours.rows) mine.rows.set(key, row)
  assert.match(mine.text(), /^# T\n\n(mine\n\nyours|yours\n\nmine)\n\nend\n$/)
})

test("an empty file has no entities", () => {
  const file = new OneFile(plugin)
  assert.deepEqual(file.write(""), [])
  file.write("a")
  file.write("")
  assert.equal(file.rows.size, 0)
})
