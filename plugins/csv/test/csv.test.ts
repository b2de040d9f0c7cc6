import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { OneFile } from "../../shared/test/lix.ts"
import { plugin } from "../src/index.ts"

const ROW = "lix_plugin_csv_row"

const cell = fc.oneof(
  fc.constantFrom("", "a", "1", "-2.5e3", '"', '""', ",", ";", "a b", "\n", "\r\n", "\r", '"a"x', ' "a"', "x,y", "ä€😀"),
  fc.string({ unit: "binary" }),
)
const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`
const sloppy = fc.array(fc.oneof(cell, cell.map(quoted)), { maxLength: 6 })

/** Rows as some program writes them. */
const regular = fc
  .record({
    rows: fc.array(fc.array(cell, { minLength: 1, maxLength: 5 }), { maxLength: 12 }),
    delimiter: fc.constantFrom(",", ";", "\t"),
    newline: fc.constantFrom("\n", "\r\n"),
    all: fc.boolean(),
    final: fc.boolean(),
    bom: fc.constantFrom("", "\ufeff"),
  })
  .map(({ rows, delimiter, newline, all, final, bom }) => {
    const write = (one: string): string => (all || /["\r\n,;\t]/.test(one) ? quoted(one) : one)
    return bom + rows.map((row) => row.map(write).join(delimiter)).join(newline) + (final ? newline : "")
  })
const irregular = fc
  .array(fc.tuple(sloppy.map((cells) => cells.join(",")), fc.constantFrom("\n", "\r\n", "\r")), { maxLength: 8 })
  .map((rows) => rows.flat().join(""))
const content = fc.oneof(regular, irregular, fc.uint8Array(), fc.string({ unit: "binary" }))

for (const metadata of [null, { unique_column: "a" }]) {
  test(`any file reads back, after any edits: ${JSON.stringify(metadata)}`, () => {
    fc.assert(
      fc.property(fc.array(content, { minLength: 1, maxLength: 4 }), (contents) => {
        const file = new OneFile(plugin, metadata)
        for (const one of contents) file.write(one)
        assert.deepEqual(file.write(file.bytes()), [], "the same content is no change")
      }),
      { numRuns: 200 },
    )
  })
}

test("every row is called by its key, whatever keys there are", () => {
  const value = fc.constantFrom("1", "2", "3", "a~n2", "a", "~", "", "x/y")
  const rows = fc.array(fc.tuple(value, fc.constantFrom("x", "y")), { maxLength: 15 })
  const text = (all: string[][]): string => `id,v\n${all.map((row) => `${row.join(",")}\n`).join("")}`
  fc.assert(
    fc.property(fc.array(rows, { minLength: 1, maxLength: 4 }), (states) => {
      const file = new OneFile(plugin, { unique_column: "id" })
      for (const state of states) file.write(text(state))
      // As many rows for each key as there are, all of them called by it.
      const counts = (keys: string[]): string => keys.sort().join()
      const ids = file.ids(ROW).map((id) => id.replace(/~n\d+$/, ""))
      const keys = states.at(-1)!.map(([key]) => key.replaceAll("~", "~0").replaceAll("/", "~1") || "~")
      assert.equal(counts(ids), counts(keys))
    }),
  )
})

test("regular files need no raw rows", () => {
  const file = new OneFile(plugin)
  for (const text of ["a,b\n1,x\n", '"a","b"\r\n"1","x"\r\n', 'a;b\n"x;y";2', '"a","b"\n1,"x"\n2,"y"\n']) {
    file.write(text)
    for (const { snapshot_content } of file.rows.values()) assert.ok(!("raw" in snapshot_content), text)
  }
})

test("what rows hold", () => {
  const file = new OneFile(plugin, { unique_column: "id" })
  file.write('id,name\n7,"Doe, Jane"\n8,"two\nlines"\n9\n')
  const rows = [...file.rows.values()].map(({ entity_id, snapshot_content }) => [entity_id, snapshot_content])
  assert.deepEqual(rows, [
    ["document", { delimiter: ",", newline: "\n", final_newline: true, quote: "needed" }],
    ["header", { columns: ["id", "name"] }],
    ["7", { cells: ["7", "Doe, Jane"], order: "a0" }],
    ["8", { cells: ["8", "two\nlines"], order: "a1" }],
    ["9", { cells: ["9"], order: "a2" }],
  ])
})

for (const [name, metadata] of [
  ["a key column", { unique_column: "id" }],
  ["no key column", null],
] as const) {
  test(`with ${name}, an edit touches its row, and ids stay`, () => {
    const rows = Array.from({ length: 500 }, (_, at) => [String(at), `name ${at}`, at % 2 ? "yes" : "no"])
    const file = new OneFile(plugin, metadata)
    const write = (): string[] =>
      file.write(`id,name,flag\n${rows.map((row) => row.join(",")).join("\n")}\n`).map((one) => one.entity_id)
    write()
    const ids = file.ids(ROW)
    rows[100]![1] = "something else"
    assert.deepEqual(write(), [ids[100]])
    rows.push(...rows.splice(50, 1))
    assert.deepEqual(write(), [ids[50]])
    rows.splice(10, 0, ["1000", "new", "no"])
    assert.equal(write().length, 1)
    rows.splice(200, 1)
    assert.equal(write().length, 1)
    rows.reverse()
    const kept = file.ids(ROW).sort()
    write()
    assert.deepEqual(file.ids(ROW).sort(), kept)
  })
}

test("with a key column, only the rows around an edit are read", () => {
  const rows = Array.from({ length: 1000 }, (_, at) => `${at},"a ""name"" ${at}"`)
  const file = new OneFile(plugin, { unique_column: "id" })
  const write = (): unknown[] => file.write(`id,name\n${rows.join("\n")}\n`).map((one) => [one.entity_id, one.snapshot_content === null])
  write()
  const few = (expected: unknown[]): void => {
    assert.deepEqual(write(), expected)
    assert.ok(file.read <= 12, `${file.read} rows read`)
  }
  rows[500] = "500,other"
  few([["500", false]])
  rows.splice(501, 0, "new,1", "new2,2")
  few([["new", false], ["new2", false]])
  rows.splice(3, 4)
  few([["3", true], ["4", true], ["5", true], ["6", true]])
  rows.splice(100, 0, ...rows.splice(105, 1))
  few([["109", false]])
  rows.push("last,1")
  few([["last", false]])
  rows.unshift("first,1")
  few([["first", false]])
  // A second row of one key needs to know the others.
  rows.splice(10, 0, "900,twice")
  assert.deepEqual(write(), [["900~n2", false]])
  assert.ok(file.read > 900)
})

test("a column's new name touches the header", () => {
  const file = new OneFile(plugin)
  file.write("a,b\n1,2\n")
  assert.deepEqual(file.write("a,c\n1,2\n").map((one) => one.entity_id), ["header"])
})

test("rows with the same key are told apart", () => {
  const file = new OneFile(plugin, { unique_column: "id" })
  file.write("id,v\n1,first\n1,second\n2,x\n")
  assert.deepEqual(file.ids(ROW), ["1", "1~n2", "2"])
  assert.deepEqual(file.write("id,v\n1,second\n2,x\n").map((one) => [one.entity_id, one.snapshot_content]), [["1", null]])
})

test("a key column that is not there is none", () => {
  const file = new OneFile(plugin, { unique_column: "nope" })
  file.write("a,b\n1,2\n")
  assert.equal(file.ids(ROW).length, 1)
})

test("header only, and empty", () => {
  const file = new OneFile(plugin)
  assert.deepEqual(file.write("a,b").map((one) => one.entity_id), ["document", "header"])
  assert.deepEqual(file.write("a,b\n").map((one) => one.entity_id), ["document"])
  file.write("a,b\n1,2\n")
  file.write("")
  assert.equal(file.rows.size, 0)
})

test("a row that somebody else changed is written anew", () => {
  const file = new OneFile(plugin, { unique_column: "id" })
  file.write('id,v\n1, "odd"\n')
  const key = `${ROW} 1`
  const row = file.rows.get(key)!
  assert.equal(row.snapshot_content["cells"] instanceof Array, true)
  file.rows.set(key, { ...row, snapshot_content: { ...row.snapshot_content, cells: ["1", "a,b"] } })
  assert.equal(file.text(), 'id,v\n1,"a,b"\n')
})

test("a hundred thousand rows take a few seconds, an edit less", () => {
  const rows = Array.from({ length: 100_000 }, (_, at) => `${at},name ${at},"quoted, ${at % 100}",${at / 7}`)
  const text = (): Buffer => Buffer.from(`id,name,note,number\n${rows.join("\n")}\n`)
  for (const metadata of [null, { unique_column: "id" }]) {
    const started = performance.now()
    const call = { after: { id: "f", path: "/f.csv", metadata, data: text() } }
    const found = plugin.detectChanges({ ...call, querySync: () => assert.fail() })
    const entities = found.map(({ entity_id, schema, snapshot_content }) => ({
      entity_id,
      schema_key: schema["x-lix-key"],
      snapshot_content: snapshot_content!,
    }))
    const data = plugin.applyChanges({ file: call.after, changes: entities }).fileData
    assert.ok(Buffer.from(data).equals(call.after.data))
    rows[50_000] += "1"
    const query = { where: () => query, select: () => query, execute: () => entities }
    const edited = plugin.detectChanges({
      before: call.after,
      after: { ...call.after, data: text() },
      querySync: () => query,
    })
    assert.equal(edited.length, 1)
    assert.ok(performance.now() - started < 30_000)
  }
})
