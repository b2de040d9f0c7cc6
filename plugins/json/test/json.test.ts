import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { OneFile } from "../../shared/test/lix.ts"
import { plugin } from "../src/index.ts"

const VALUE = "lix_plugin_json_value"

const keys = fc.oneof(
  fc.constantFrom("", "a", "b", "a/b", "~", "d.o.t", "__proto__", "constructor", "0", "1", "toString", "#"),
  fc.string({ unit: "binary" }),
  // Halves of surrogate pairs too.
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 3 }).map((codes) => String.fromCharCode(...codes)),
)
/** The text of a value, so that properties can be named twice and numbers spelled in every way. */
const leaf = fc.oneof(
  fc.string({ unit: "binary" }).map((text) => JSON.stringify(text)),
  keys.map((text) => JSON.stringify(text)),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => JSON.stringify(number)),
  fc.constantFrom("0", "-0", "1.0", "1e3", "1E+3", "0.10", "12345678901234567890", "1e999", "-1e999", "true", "false", "null"),
  fc.constantFrom('"\\u0061"', '"\\/"', '"\\ud800"', '"\\uD83D\\uDE00"', '"\\u0000"', '"é"', '"\u2028"'),
)
const space = fc.stringMatching(/^[ \n\r\t]{0,3}$/)
const name = fc.oneof(keys.map((key) => JSON.stringify(key)), fc.constantFrom('"a"', '"\\u0061"', '"b"'))

function textWith(gap: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const { value } = fc.letrec<{ value: string }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      leaf,
      fc.tuple(gap, fc.array(fc.tuple(gap, tie("value"), gap), { maxLength: 5 })).map(
        ([inside, items]) => `[${items.length ? items.map((item) => item.join("")).join(",") : inside}]`,
      ),
      fc
        .tuple(gap, fc.array(fc.tuple(gap, name, gap, fc.constant(":"), gap, tie("value"), gap), { maxLength: 5 }))
        .map(([inside, all]) => `{${all.length ? all.map((one) => one.join("")).join(",") : inside}}`),
    ),
  }))
  return value
}
const anyText = fc.tuple(space, textWith(space), space).map((parts) => parts.join(""))
const standard = fc
  .tuple(fc.jsonValue(), fc.constantFrom(undefined, 2, 4, "\t"), fc.constantFrom("", "\n"))
  .map(([value, indent, end]) => JSON.stringify(value, null, indent) + end)

test("any JSON reads back byte by byte, after any edits", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(anyText, standard), { minLength: 1, maxLength: 5 }), (texts) => {
      const file = new OneFile(plugin)
      for (const text of texts) file.write(text)
      assert.deepEqual(file.write(file.bytes()), [], "the same content is no change")
    }),
    { numRuns: 300 },
  )
})

test("standard formatting costs no layout: one document, one entity for each value", () => {
  fc.assert(
    fc.property(standard, (text) => {
      const file = new OneFile(plugin)
      file.write(text)
      for (const { snapshot_content } of file.rows.values()) {
        assert.ok(!("layout" in snapshot_content) && !("space" in snapshot_content), JSON.stringify(snapshot_content))
      }
    }),
  )
})

test("entities are addressed by JSON pointer", () => {
  const file = new OneFile(plugin)
  file.write('{"a":{"b/c":[1,{"~":2}]},"":3}')
  assert.deepEqual(file.ids(VALUE), ["#", "/a", "/a/b~1c", "/a/b~1c/0", "/a/b~1c/1", "/a/b~1c/1/~0", "/"])
})

test("one property of many: one entity, in whatever way it changes", () => {
  const value: Record<string, unknown> = {}
  for (let at = 0; at < 1000; at += 1) value[`property ${at}`] = { nested: at, list: [1, 2, 3] }
  const text = (): string => JSON.stringify(value, null, 2)
  const file = new OneFile(plugin)
  file.write(text())
  const ids = (): string[] => file.write(text()).map((one) => one.entity_id)

  ;(value["property 500"] as { nested: unknown }).nested = "changed"
  assert.deepEqual(ids(), ["/property 500/nested"])
  assert.equal(file.read, 1, "one entity read")
  value["new"] = null
  assert.deepEqual(ids(), ["/new"])
  delete value["new"]
  assert.deepEqual(ids(), ["/new"])
  ;(value["property 7"] as { list: unknown[] }).list[1] = "in an array"
  assert.deepEqual(ids(), ["/property 7/list/1"])
})

test("properties keep their order, and moving one touches it alone", () => {
  const file = new OneFile(plugin)
  file.write('{"b":1,"a":2,"c":3,"1":4}')
  assert.deepEqual(
    file.write('{"a":2,"c":3,"1":4,"b":1}').map((one) => one.entity_id),
    ["/b"],
  )
})

test("items of arrays keep their ids; what is inserted touches itself alone", () => {
  const items = Array.from({ length: 300 }, (_, id) => ({ id, text: `item ${id}` }))
  const file = new OneFile(plugin)
  file.write(JSON.stringify(items))
  items.splice(3, 0, { id: 1000, text: "new" })
  const inserted = file.write(JSON.stringify(items)).map((one) => one.entity_id)
  assert.equal(inserted.length, 3)
  assert.ok(inserted.every((id) => id.startsWith(inserted[0] as string)))
  items.push(...items.splice(10, 1))
  assert.deepEqual(file.write(JSON.stringify(items)).map((one) => one.entity_id), ["/9"])
  // Moved and edited: known by what it calls itself.
  const [item] = items.splice(50, 1)
  items.splice(20, 0, { ...item!, text: "something else" })
  assert.deepEqual(file.write(JSON.stringify(items)).map((one) => one.entity_id).sort(), ["/50", "/50/text"])
})

test("indenting anew is a change of the document", () => {
  const value = { a: [1, { b: {} }], c: [] }
  const file = new OneFile(plugin)
  file.write(JSON.stringify(value))
  for (const indent of [2, 4, "\t", undefined]) {
    const changed = file.write(JSON.stringify(value, null, indent))
    assert.deepEqual(changed.map((one) => one.schema["x-lix-key"]), ["lix_plugin_json_document"])
  }
})

test("an array on one line in an indented file stays on one line", () => {
  const file = new OneFile(plugin)
  file.write('{\n  "files": ["dist", "src"],\n  "a": 1\n}\n')
  const changed = file.write('{\n  "files": ["dist", "src", "test"],\n  "a": 1\n}\n')
  assert.equal(changed.length, 1)
  assert.ok(!("space" in changed[0]!.snapshot_content!))
})

test("numbers keep their digits, and their value can be read", () => {
  const file = new OneFile(plugin)
  file.write('{"big":12345678901234567890,"one":1.0,"usual":1.5}')
  const value = (id: string): unknown => file.rows.get(`${VALUE} ${id}`)?.snapshot_content
  assert.deepEqual(value("/one"), { value: 1, raw: "1.0", order: "a1" })
  assert.deepEqual(value("/usual"), { value: 1.5, order: "a2" })
})

test("an entity that somebody else wrote needs no spelling and no place", () => {
  const file = new OneFile(plugin)
  file.write('{"a":1.0}')
  const row = file.rows.get(`${VALUE} /a`)!
  file.rows.set(`${VALUE} /a`, { ...row, snapshot_content: { ...row.snapshot_content, value: 2 } })
  file.rows.set(`${VALUE} /b`, { entity_id: "/b", schema_key: VALUE, snapshot_content: { value: "new" } })
  file.rows.set(`${VALUE} /gone/c`, { entity_id: "/gone/c", schema_key: VALUE, snapshot_content: { value: 3 } })
  assert.equal(file.text(), '{"a":2,"b":"new"}')
  // The next write tidies up.
  assert.deepEqual(file.write('{"a":2,"b":"new","c":4}').map((one) => one.entity_id), ["/gone/c", "/a", "/b", "/c"])
})

test("a property whose parent somebody deleted is not there", () => {
  const file = new OneFile(plugin)
  file.write('{"a":{"b":1},"c":2}')
  file.rows.delete(`${VALUE} /a`)
  assert.equal(file.text(), '{"c":2}')
})

test("an empty file has no entities; space and a mark are kept", () => {
  const file = new OneFile(plugin)
  assert.deepEqual(file.write(""), [])
  for (const text of [" \n", "\ufeff", '\ufeff{"a":1}', "{}", ""]) file.write(text)
  assert.equal(file.rows.size, 0)
})

test("what is no JSON is refused with its place", () => {
  const error = (text: string | Uint8Array): string => {
    try {
      new OneFile(plugin).write(text)
    } catch (error) {
      return (error as Error).message
    }
    return "accepted"
  }
  const cases: [string, string][] = [
    ["{\n  a: 1\n}", 'line 2, column 3 (offset 4): expected a property\'s name in double quotes, found "a"'],
    ["{", "line 1, column 2 (offset 1): expected a property's name in double quotes, found the end"],
    ["[1,]", 'line 1, column 4 (offset 3): expected a value after ",", found "]"'],
    ["[1 2]", 'line 1, column 4 (offset 3): expected "," or "]", found "2"'],
    ["01", 'line 1, column 1 (offset 0): expected a value, found "01"'],
    ["nul", 'line 1, column 1 (offset 0): expected a value, found "nul"'],
    ["1 2", 'line 1, column 3 (offset 2): expected the end, found "2"'],
    ['"a\nb"', "line 1, column 3 (offset 2): a control character in a string"],
    ['"a', "line 1, column 3 (offset 2): a string without an end"],
    ['"\\x"', "line 1, column 2 (offset 1): an escape that JSON does not have"],
    ["// no\n{}", 'line 1, column 1 (offset 0): expected a value, found "/"'],
    ['{"a" 1}', 'line 1, column 6 (offset 5): expected ":", found "1"'],
    ["[".repeat(300), "line 1, column 257 (offset 256): nested deeper than 256 levels"],
  ]
  for (const [text, message] of cases) assert.equal(error(text), `invalid JSON at ${message}`)
  assert.match(error(new Uint8Array([0x22, 0xff, 0x22])), /not UTF-8 from about byte 1/)
})

test("a long text without an end is refused as quickly as others", () => {
  const started = performance.now()
  for (const text of [`"${"a".repeat(1_000_000)}`, `"${"\\n".repeat(1_000_000)}`, "9".repeat(1_000_000), " ".repeat(1_000_000) + "x"]) {
    if (text.startsWith("9")) new OneFile(plugin).write(text)
    else assert.throws(() => new OneFile(plugin).write(text), /invalid JSON/)
  }
  assert.ok(performance.now() - started < 5000)
})

test("what JSON.parse refuses is refused, and the other way round", () => {
  const mutated = fc.tuple(anyText, fc.nat(), fc.constantFrom("", ",", "}", "]", "[", '"', "0", "e", ":", "\\", "-"))
  fc.assert(
    fc.property(mutated, ([text, at, insert]) => {
      const place = at % (text.length + 1)
      // Half a pair does not survive encoding; replace it before both see it.
      const changed = Buffer.from(text.slice(0, place) + insert + text.slice(place + 1)).toString()
      if (changed.trim() === "") return
      let valid = true
      try {
        JSON.parse(changed)
      } catch {
        valid = false
      }
      const file = new OneFile(plugin)
      if (valid) file.write(changed)
      else assert.throws(() => file.write(changed), /invalid JSON/)
    }),
    { numRuns: 1000 },
  )
})

test("ten thousand properties are quick", () => {
  const value = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`property_${at}`, `value ${at}`]))
  const file = new OneFile(plugin)
  file.write(JSON.stringify(value))
  const before = { id: "file-1", path: "/file", metadata: null, hidden: false, data: file.bytes() }
  value["property_5000"] = "changed"
  const after = { ...before, data: Buffer.from(JSON.stringify(value)) }
  const rows = [...file.rows.values()].filter((row) => row.entity_id === "/property_5000")
  const query = { where: () => query, select: () => query, execute: () => rows }
  const started = performance.now()
  assert.equal(plugin.detectChanges({ before, after, querySync: () => query }).length, 1)
  assert.ok(performance.now() - started < 100)
})
