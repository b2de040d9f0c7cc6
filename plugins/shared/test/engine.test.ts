// The plugins as people use them: one text each, in a real engine.

import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { describe, test, type TestContext } from "node:test"
import vm from "node:vm"
import { buildSync, transformSync } from "esbuild"
import fc from "fast-check"
import { createEngine, createMainMemoryEngine, EngineError, type InitOptions, type LixEngine } from "lix-engine"
import { missing, nativePort } from "./native.ts"

const source = (name: string): string => readFileSync(new URL(`../../${name}/dist/index.js`, import.meta.url), "utf8")
const SOURCES = ["json", "csv", "markdown", "text"].map(source)

type Open = (t: TestContext, blob?: ArrayBuffer) => Promise<LixEngine>

const opener =
  (create: (options: InitOptions) => LixEngine): Open =>
  async (t, blob) => {
    const engine = create({ expProvideStringifiedPlugins: SOURCES })
    t.after(() => engine.close())
    await engine.init(blob ? { lix: true, blob } : { lix: true })
    return engine
  }

const encoder = new TextEncoder()
const insert = (engine: LixEngine, path: string, content: string, metadata: object | null = null): Promise<unknown> =>
  engine.exec("insert into file (id, path, data, metadata) values (?1, ?1, ?2, ?3)", [path, encoder.encode(content), metadata && JSON.stringify(metadata)])
const update = (engine: LixEngine, path: string, content: string | Uint8Array): Promise<unknown> =>
  engine.exec("update file set data = ? where path = ?", [typeof content === "string" ? encoder.encode(content) : content, path])

async function read(engine: LixEngine, path: string): Promise<string> {
  const { rows } = await engine.exec<{ data: Uint8Array }>("select data from file where path = ?", [path])
  return Buffer.from(rows[0]!.data).toString("latin1")
}

async function changes(engine: LixEngine): Promise<number> {
  const { rows } = await engine.exec<{ n: number }>("select count(*) as n from change where plugin_key like 'lix-plugin-%'")
  return rows[0]!.n
}

test("each is one module that needs nothing but ES2022, TextEncoder and TextDecoder", () => {
  for (const code of SOURCES) {
    const { metafile } = buildSync({ stdin: { contents: code }, bundle: true, write: false, metafile: true, external: ["*"], format: "esm" })
    assert.deepEqual(Object.values(metafile.outputs)[0]!.imports, [])
    const { code: script } = transformSync(code, { format: "iife", globalName: "loaded" })
    const realm = vm.createContext({ TextEncoder, TextDecoder })
    vm.runInContext(script, realm)
    const change = vm.runInContext(
      `const after = { id: "f", path: "/f", metadata: null, hidden: false, data: new Uint8Array([49, 10]) }
       const found = loaded.plugin.detectChanges({ after, querySync() { throw new Error("nothing to ask") } })
       const changes = found.map((one) => ({ ...one, schema_key: one.schema["x-lix-key"] }))
       String(loaded.plugin.applyChanges({ file: after, changes }).fileData)`,
      realm,
    ) as string
    assert.equal(change, "49,10")
    assert.equal(vm.runInContext("loaded.default === loaded.plugin", realm), true)
  }
})

test("what is in dist/source.js is the module", async () => {
  const { default: text } = (await import("lix-plugin-json/source")) as { default: string }
  assert.equal(text, SOURCES[0])
})

const files: [string, fc.Arbitrary<string>][] = [
  [
    "/a.json",
    fc.tuple(fc.jsonValue(), fc.constantFrom(undefined, 2, "\t")).map(([value, indent]) => JSON.stringify(value, null, indent)),
  ],
  ["/a.csv", fc.array(fc.array(fc.constantFrom("a", "1", '"x,y"', ""), { minLength: 1, maxLength: 3 }).map((row) => row.join(",")), { maxLength: 8 }).map((rows) => rows.join("\r\n"))],
  ["/a.md", fc.array(fc.constantFrom("# T", "text", "- a\n- b", "> q", "```\nx\n```"), { maxLength: 6 }).map((blocks) => blocks.join("\n\n"))],
  ["/a.txt", fc.array(fc.string({ unit: "binary" }), { maxLength: 6 }).map((lines) => lines.join("\n"))],
]

for (const [where, skip, open] of [
  ["in this thread", false, opener(createMainMemoryEngine)],
  ["native", missing, opener((options) => createEngine(nativePort(), options))],
] as const) {
  describe(where, { skip }, () => suite(open))
}

function suite(open: Open): void {
  for (const [path, content] of files) {
    test(`${path}: whatever is written is read, also from an image that forgot it`, async (t) => {
      const engine = await open(t)
      await insert(engine, path, "")
      await fc.assert(
        fc.asyncProperty(content, async (text) => {
          await update(engine, path, text)
          // The first reading after a write makes the file of its entities.
          assert.equal(await read(engine, path), Buffer.from(text).toString("latin1"))
          const before = await changes(engine)
          await update(engine, path, text)
          assert.equal(await changes(engine), before, "the same content is no change")
        }),
        { numRuns: 40 },
      )
      const text = await read(engine, path)
      const again = await open(t, await engine.export())
      assert.equal(await read(again, path), text)
    })
  }

  test("edits touch what changed: one change in the log each", async (t) => {
    const engine = await open(t)
    const touched = async (path: string, from: string, to: string, metadata: object | null = null): Promise<number> => {
      await insert(engine, path, from, metadata)
      const before = await changes(engine)
      await update(engine, path, to)
      assert.equal(await read(engine, path), to)
      return (await changes(engine)) - before
    }
    assert.equal(await touched("/1.json", '{"a":1,"b":[1,2]}', '{"a":2,"b":[1,2]}'), 1)
    assert.equal(await touched("/2.json", '{"a":1,"b":[1,2]}', '{"a":1,"b":[1,"new",2]}'), 1)
    assert.equal(await touched("/1.csv", "id,v\n1,x\n2,y\n", "id,v\n2,y\n1,x\n", { unique_column: "id" }), 1)
    assert.equal(await touched("/1.md", "# A\n\none\n\ntwo\n", "# A\n\nbetween\n\none\n\ntwo\n"), 1)
    assert.equal(await touched("/1.txt", "a\nb\n", "a\nc\n"), 1)
  })

  test("ids of rows come from the key column that the metadata name", async (t) => {
    const engine = await open(t)
    await insert(engine, "/a.csv", "id,v\n1,x\ntrue,y\n{},z\n", { unique_column: "id" })
    const ids = async (): Promise<unknown[]> => {
      const { rows } = await engine.exec("select entity_id from state where schema_key = 'lix_plugin_csv_row' order by entity_id")
      return rows.map((row) => row["entity_id"])
    }
    assert.deepEqual(await ids(), ["1", "true", "{}"])
    await update(engine, "/a.csv", "id,v\n{},z\n1,changed\n")
    assert.deepEqual(await ids(), ["1", "{}"])
  })

  test("a version's file is edited with that version's ids, whichever is active", async (t) => {
    const engine = await open(t)
    await insert(engine, "/a.txt", "one\ntwo\n")
    await engine.exec(`select * from lix_create_version('{"id":"draft"}')`)
    await update(engine, "/a.txt", "one\nmain\ntwo\n")
    await engine.exec("update file_all set data = ? where path = '/a.txt' and lixcol_version_id = 'draft'", [encoder.encode("one\ndraft\ntwo\n")])
    await engine.exec("update file_all set data = ? where path = '/a.txt' and lixcol_version_id = 'draft'", [encoder.encode("one\ndraft!\ntwo\n")])
    assert.equal(await read(engine, "/a.txt"), "one\nmain\ntwo\n")
    const { rows } = await engine.exec("select data from file_all where lixcol_version_id = 'draft' and path = '/a.txt'")
    assert.equal(Buffer.from(rows[0]!["data"] as Uint8Array).toString(), "one\ndraft!\ntwo\n")
  })

  test("what is no JSON fails the statement, with its place, and leaves what was", async (t) => {
    const engine = await open(t)
    await insert(engine, "/a.json", "{}")
    await assert.rejects(update(engine, "/a.json", '{\n  "a": }'), (error) => {
      assert.ok(error instanceof EngineError)
      assert.match(error.message, /invalid JSON at line 2, column 8 \(offset 9\): expected a value, found "}"/)
      assert.equal(error.subject, "lix-plugin-json")
      return true
    })
    assert.equal(await read(engine, "/a.json"), "{}")
  })

  test("ten thousand properties: inserted within seconds, one changed in a moment", async (t) => {
    const engine = await open(t)
    const value = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`property_${at}`, `value ${at}`]))
    let started = performance.now()
    await insert(engine, "/a.json", JSON.stringify(value))
    t.diagnostic(`10,000 properties inserted: ${(performance.now() - started).toFixed(0)} ms`)
    value["property_5000"] = "changed"
    const before = await changes(engine)
    started = performance.now()
    await update(engine, "/a.json", JSON.stringify(value))
    t.diagnostic(`one changed: ${(performance.now() - started).toFixed(0)} ms`)
    assert.equal((await changes(engine)) - before, 1)
    started = performance.now()
    assert.equal(await read(engine, "/a.json"), JSON.stringify(value))
    t.diagnostic(`read: ${(performance.now() - started).toFixed(0)} ms`)
  })
}
