import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { OneFile } from "../../shared/test/lix.ts"
import { plugin } from "../src/index.ts"

const line = fc.oneof(
  fc.constantFrom("", "a", "b", "the quick fox", "the quick brown fox", "end"),
  fc.string({ unit: "binary" }),
)
const text = fc
  .array(fc.tuple(line, fc.constantFrom("\n", "\n", "\n", "\r\n", "\r")), { maxLength: 30 })
  .chain((lines) => fc.boolean().map((final) => lines.map(([one, end], at) => one + (final || at < lines.length - 1 ? end : "")).join("")))
const bytes = fc.oneof(text, fc.uint8Array(), text.map((one) => `\ufeff${one}`))

test("any file reads back, after any edits", () => {
  fc.assert(
    fc.property(fc.array(bytes, { minLength: 1, maxLength: 5 }), (contents) => {
      const file = new OneFile(plugin)
      for (const content of contents) file.write(content)
      assert.deepEqual(file.write(file.bytes()), [], "the same content is no change")
    }),
  )
})

test("an edit touches its line, and ids stay", () => {
  const lines = Array.from({ length: 200 }, (_, at) => (at % 3 === 0 ? "" : `line number ${at}`))
  const file = new OneFile(plugin)
  file.write(`${lines.join("\n")}\n`)
  const change = (edit: (lines: string[]) => void): string[] => {
    edit(lines)
    return file.write(`${lines.join("\n")}\n`).map((one) => `${one.entity_id} ${one.snapshot_content?.["text"] ?? "gone"}`)
  }
  const edited = change((all) => (all[100] = "line number one hundred"))
  assert.equal(edited.length, 1)
  const id = edited[0]!.split(" ")[0]!
  assert.deepEqual(change((all) => all.splice(120, 0, ...all.splice(100, 1))), [`${id} line number one hundred`])
  assert.equal(change((all) => all.splice(10, 0, "between")).length, 1)
  assert.equal(change((all) => all.push("appended")).length, 1)
  assert.equal(change((all) => all.unshift("first")).length, 1)
  assert.deepEqual(change((all) => all.splice(all.indexOf("line number one hundred"), 1)), [`${id} gone`])
})

test("the end of the file and the kind of line ends belong to the document", () => {
  const file = new OneFile(plugin)
  file.write("a\nb\n")
  assert.deepEqual(
    file.write("a\nb").map((one) => one.snapshot_content),
    [{ newline: "\n", final_newline: false }],
  )
  assert.deepEqual(
    file.write("a\r\nb").map((one) => one.snapshot_content),
    [{ newline: "\r\n", final_newline: false }],
  )
})

test("an empty file has no entities", () => {
  const file = new OneFile(plugin)
  assert.deepEqual(file.write(""), [])
  file.write("a\n")
  assert.equal(file.write("").length, 2)
})

test("lines that two people wrote at one place both stay", () => {
  const [mine, yours] = [new OneFile(plugin), new OneFile(plugin)]
  mine.write("a\nz\n")
  yours.write("a\nz\n")
  mine.write("a\nmine\nz\n")
  yours.write("a\nyours\nz\n")
  for (const [key, row] of yours.rows) mine.rows.set(key, row)
  const merged = mine.text()
  assert.match(merged, /^a\n(mine\nyours|yours\nmine)\nz\n$/)
  // And there is still room between them.
  mine.write(merged.replace(/(mine|yours)\n(mine|yours)/, "$1\nbetween\n$2"))
})

test("ten thousand lines are quick", () => {
  const lines = Array.from({ length: 10_000 }, (_, at) => `line ${at}`)
  const file = new OneFile(plugin)
  file.write(lines.join("\n"))
  lines[5000] = "changed"
  const started = performance.now()
  assert.equal(file.detect(Buffer.from(lines.join("\n"))).length, 1)
  assert.ok(performance.now() - started < 1000)
})
