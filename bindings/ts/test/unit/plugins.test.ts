// The code that runs plugins: what it hands to them, and what it refuses of what comes back.

import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import vm from "node:vm"
import { sql } from "kysely"
import type { DetectChangesInput, LixPlugin, QuerySync, SyncRow } from "../../src/plugins/plugin.js"
import { createPluginRuntime, type PluginRuntime } from "../../src/plugins/runtime.js"

const SCHEMA = { "x-lix-key": "s", "x-lix-version": "1.0", type: "object" }

test("a module's plugin is its export `plugin`, else its default; objects are plugins themselves", async () => {
  const modules = [
    await moduleOf(`export const plugin = { key: "a", detectChangesGlob: "*.a", detectChanges() {} }; export default 1`),
    await moduleOf(`export default { key: "b", applyChanges() {} }`),
    { key: "c" },
    // As a bundler may have made it of a namespace.
    { __proto__: null, default: { key: "d", detectChangesGlob: null, applyChanges: null } },
  ]
  assert.deepEqual(JSON.parse(createPluginRuntime(modules).manifests()), [
    { key: "a", detectChangesGlob: "*.a", detects: true, applies: false },
    { key: "b", detects: false, applies: true },
    { key: "c", detects: false, applies: false },
    { key: "d", detects: false, applies: false },
  ])
})

test("what is no plugin is refused by key, or by index where there is none", async () => {
  const refusals: [module: unknown, subject: string, message: string][] = [
    [undefined, "1", "plugin 1 is undefined, not an object"],
    [null, "1", "plugin 1 is null, not an object"],
    ["text", "1", "plugin 1 is a string, not an object"],
    [[], "1", "plugin 1 is an array, not an object"],
    [{}, "1", "plugin 1 has no key"],
    [{ key: 7 }, "1", "the key of plugin 1 is a number, not a string"],
    [{ key: "" }, "1", "the key of plugin 1 is empty"],
    [{ key: "k", detectChangesGlob: ["*.md"] }, "k", "detectChangesGlob is an array, not a string"],
    [{ key: "k", detectChanges: {} }, "k", "detectChanges is an object, not a function"],
    [{ key: "k", applyChanges: "x" }, "k", "applyChanges is a string, not a function"],
    [{ get key() { throw new Error("never") } }, "1", "never"],
    [await moduleOf("export {}"), "1", "the module of plugin 1 exports neither plugin nor default"],
    [await moduleOf("export const x = 1, y = 2"), "1", "the module of plugin 1 exports neither plugin nor default; it exports x, y"],
    [await moduleOf("export default class {}"), "1", "the module of plugin 1 exports a function, not a plugin"],
  ]
  for (const [module, subject, message] of refusals) {
    assert.throws(() => createPluginRuntime([{ key: "first" }, module]), { reason: "PLUGIN_INVALID", subject, message })
  }
  assert.throws(() => createPluginRuntime([{ key: "a" }, { key: "b" }, { key: "a" }]), { reason: "PLUGIN_DUPLICATE", subject: "a", message: "plugins 0 and 2 have the same key, a" })
})

test("detectChanges gets the file as it was and as it is, as itself", () => {
  let seen: DetectChangesInput | undefined
  let self: unknown
  const plugin: LixPlugin = {
    key: "k",
    detectChanges(input) {
      self = this
      seen = input
      return []
    },
  }
  const runtime = createPluginRuntime([plugin])
  const data = new Uint8Array([1, 2])
  assert.equal(runtime.detectChanges(0, undefined, undefined, descriptor("/a"), data), '{"schemas":[],"changes":[]}')
  assert.equal(self, plugin)
  assert.deepEqual(Object.keys(seen!), ["after", "querySync"], "no `before` for a plugin that asks whether there is one")
  assert.deepEqual(seen!.after, { id: "f", path: "/a", data, metadata: { a: 1 }, hidden: false })
  const before = new Uint8Array(0)
  runtime.detectChanges(0, descriptor("/b"), before, descriptor("/a"), data)
  assert.deepEqual(seen!.before, { id: "f", path: "/b", data: before, metadata: { a: 1 }, hidden: false })
})

test("a schema is written once, whether it is the same object or another one with the same text", () => {
  const changes = [
    { entity_id: "1", schema: SCHEMA, snapshot_content: { v: 1 } },
    { entity_id: "2", schema: { ...SCHEMA }, snapshot_content: null },
    { entity_id: "3", schema: { ...SCHEMA, "x-lix-key": "t" }, snapshot_content: {} },
    { entity_id: "4", schema: SCHEMA, snapshot_content: { v: "\u{1F600}\ud800" } },
  ]
  const answer = JSON.parse(detect(() => changes)) as { schemas: object[]; changes: unknown[] }
  assert.deepEqual(answer, {
    schemas: [SCHEMA, { ...SCHEMA, "x-lix-key": "t" }],
    changes: [[0, "1", { v: 1 }], [0, "2", null], [1, "3", {}], [0, "4", { v: "\u{1F600}\ud800" }]],
  })
})

test("a result of the wrong shape is refused with the place where it is wrong", () => {
  const good = { entity_id: "e", schema: SCHEMA, snapshot_content: {} }
  const cyclic: { self?: object } = {}
  cyclic.self = cyclic
  // eslint-disable-next-line no-sparse-arrays
  const holes = [good, , good]
  const refusals: [result: unknown, message: string][] = [
    [undefined, "detectChanges returned undefined, not an array"],
    [{ length: 0 }, "detectChanges returned an object, not an array"],
    [new Set([good]), "detectChanges returned an object of class Set, not an array"],
    [[null], "changes[0] is null, not an object"],
    [holes, "changes[1] is undefined, not an object"],
    [[good, { ...good, entity_id: 3 }], "changes[1].entity_id is a number, not a string"],
    [[{ ...good, entity_id: "" }], "changes[0].entity_id is empty"],
    [[{ ...good, schema: undefined }], "changes[0].schema is undefined, not an object"],
    [[{ ...good, schema: [SCHEMA] }], "changes[0].schema is an array, not an object"],
    [[{ entity_id: "e", schema: SCHEMA }], "changes[0].snapshot_content is undefined, neither an object nor null"],
    [[{ ...good, snapshot_content: '{"a":1}' }], "changes[0].snapshot_content is a string, neither an object nor null"],
    [[{ ...good, snapshot_content: new Date() }], "changes[0].snapshot_content is an object of class Date, not a plain object"],
  ]
  for (const [result, message] of refusals) {
    assert.throws(() => detect(() => result), { reason: "PLUGIN_INVALID", subject: "k", message })
  }
  for (const [result, place] of [
    [[good, { ...good, snapshot_content: cyclic }], "changes[1].snapshot_content is no JSON: "],
    [[{ ...good, snapshot_content: { n: 1n } }], "changes[0].snapshot_content is no JSON: "],
    [[{ ...good, schema: cyclic }], "changes[0].schema is no JSON: "],
  ] as const) {
    assert.throws(() => detect(() => result), (error: Error & { reason?: string }) => error.reason === "PLUGIN_INVALID" && error.message.startsWith(place))
  }
})

test("applyChanges gets the entities as objects, and has to return bytes", () => {
  let seen: unknown
  const runtime = createPluginRuntime([
    {
      key: "k",
      applyChanges(input: object) {
        seen = input
        return { fileData: new Uint8Array([7]) }
      },
    },
  ])
  const rows = { file_id: "f", plugin_key: "k", version_id: "v", rows: [["e", "s", "1.0", "2024-01-01T00:00:00.000Z", "c", { x: 1 }]] }
  assert.deepEqual(runtime.applyChanges(0, '{"id":"f","path":"/a","metadata":null}', JSON.stringify(rows)), new Uint8Array([7]))
  assert.deepEqual(seen, {
    file: { id: "f", path: "/a", metadata: null },
    changes: [{ id: "c", entity_id: "e", schema_key: "s", schema_version: "1.0", file_id: "f", plugin_key: "k", snapshot_content: { x: 1 }, version_id: "v", created_at: "2024-01-01T00:00:00.000Z" }],
  })

  const refusals: [result: unknown, message: string][] = [
    [undefined, "applyChanges returned undefined, not an object with fileData"],
    [new Uint8Array(1), "applyChanges returned fileData that is undefined, not a Uint8Array"],
    [{}, "applyChanges returned fileData that is undefined, not a Uint8Array"],
    [{ fileData: "text" }, "applyChanges returned fileData that is a string, not a Uint8Array"],
    [{ fileData: [1] }, "applyChanges returned fileData that is an array, not a Uint8Array"],
    [{ fileData: new ArrayBuffer(1) }, "applyChanges returned fileData that is an object of class ArrayBuffer, not a Uint8Array"],
    [{ fileData: new Uint16Array(1) }, "applyChanges returned fileData that is an object of class Uint16Array, not a Uint8Array"],
  ]
  for (const [result, message] of refusals) assert.throws(() => apply(() => result), { reason: "PLUGIN_INVALID", subject: "k", message })
  assert.deepEqual([...apply(() => ({ fileData: vm.runInNewContext("new Uint8Array([1, 2])") as Uint8Array }))], [1, 2], "of another realm")
  assert.deepEqual([...apply(() => ({ fileData: Buffer.from("a") }))], [97])
})

test("a promise is refused, however it ends", async () => {
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => unhandled.push(reason)
  process.on("unhandledRejection", listener)
  for (const result of [Promise.resolve([]), Promise.reject(new Error("late")), { then() {} }]) {
    assert.throws(() => detect(() => result), { reason: "PLUGIN_ASYNC", subject: "k", message: "detectChanges returned a promise; plugins are synchronous" })
    assert.throws(() => apply(() => result), { reason: "PLUGIN_ASYNC", subject: "k", message: "applyChanges returned a promise; plugins are synchronous" })
  }
  await new Promise(setImmediate)
  process.off("unhandledRejection", listener)
  assert.deepEqual(unhandled, [])
})

test("what a plugin throws is its failure, with its words", () => {
  const broken = { get message(): string { throw new Error("not even that") } }
  for (const [thrown, message] of [
    [new TypeError("x is not a function"), "x is not a function"],
    ["just text", "just text"],
    [undefined, "undefined"],
    [{ message: "like an error" }, "like an error"],
    [broken, "it threw something that has no text"],
    [Object.create(null), "it threw something that has no text"],
  ] as const) {
    const fail = () => {
      throw thrown
    }
    assert.throws(() => detect(fail), { reason: "PLUGIN_FAILED", subject: "k", message })
    assert.throws(() => apply(fail), { reason: "PLUGIN_FAILED", subject: "k", message })
  }
  const recursion = (): unknown => recursion()
  assert.throws(() => detect(recursion), { reason: "PLUGIN_FAILED", subject: "k" })
  const lying = { get length(): number { throw new Error("gotcha") } }
  assert.throws(() => detect(() => new Proxy([], { get: () => lying.length })), { reason: "PLUGIN_FAILED", message: "gotcha" })
})

test("a method that a plugin has not is refused", () => {
  const runtime = createPluginRuntime([{ key: "k" }])
  assert.throws(() => runtime.detectChanges(0, undefined, undefined, descriptor("/a"), new Uint8Array(0)), { reason: "PLUGIN_INVALID", subject: "k" })
  assert.throws(() => runtime.applyChanges(1, "{}", "{}"), { reason: "PLUGIN_INVALID", subject: "1" })
})

// ── querySync ──────────────────────────────────────────────────────────────

test("querySync is Kysely's selectFrom, in any chain", () => {
  const compiled = (build: (query: QuerySync) => { execute(): unknown }) => {
    let ran: [string, unknown] | undefined
    reading((query) => build(query).execute(), (text, params) => {
      ran = [text, JSON.parse(params)]
      return '{"columns":[],"rows":[]}'
    })
    return ran
  }
  assert.deepEqual(compiled((query) => query("state").where("file_id", "=", "f").where("schema_key", "in", ["a", "b"]).selectAll()), [
    'select * from "state" where "file_id" = ? and "schema_key" in (?, ?)', ["f", "a", "b"],
  ])
  assert.deepEqual(compiled((query) => query("state as s").innerJoin("change as c", "c.id", "s.change_id").select(["s.entity_id", "c.created_at as at"]).orderBy("s.entity_id", "desc").limit(2)), [
    'select "s"."entity_id", "c"."created_at" as "at" from "state" as "s" inner join "change" as "c" on "c"."id" = "s"."change_id" order by "s"."entity_id" desc limit ?', [2],
  ])
  assert.deepEqual(compiled((query) => query("a").where("x", "in", query("b").select("y").where("z", "=", true)).select("x")), ['select "x" from "a" where "x" in (select "y" from "b" where "z" = ?)', [1]])
  assert.deepEqual(compiled((query) => query("a").select((eb: never) => [(eb as { fn: { countAll(): { as(name: string): unknown } } }).fn.countAll().as("n")])), ['select count(*) as "n" from "a"', []])
  assert.deepEqual(compiled((query) => query("a").$call((q: QuerySync) => (q as unknown as { select(c: string): unknown }).select("x")).$if(true, (q: { limit(n: number): unknown }) => q.limit(1)).$if(false, () => undefined)), ['select "x" from "a" limit ?', [1]])
  assert.deepEqual(compiled((query) => query("a").selectAll().where(sql`x > ${3}`)), ['select * from "a" where x > ?', [3]], "with the sql tag of another Kysely")
  assert.deepEqual(compiled((query) => query("a").select("x").union(query("b").select("x"))), ['select "x" from "a" union select "x" from "b"', []])
})

test("its three endings run at once; those of promises are not there", () => {
  const rows = '{"columns":["x"],"rows":[[1],[2]]}'
  assert.deepEqual(reading((query) => query("a").selectAll().execute(), () => rows), [{ x: 1 }, { x: 2 }])
  assert.deepEqual(reading((query) => query("a").selectAll().executeTakeFirst(), () => rows), { x: 1 })
  assert.deepEqual(reading((query) => query("a").selectAll().executeTakeFirstOrThrow(), () => rows), { x: 1 })
  const none = () => '{"columns":["x"],"rows":[]}'
  assert.equal(reading((query) => query("a").selectAll().executeTakeFirst(), none), undefined)
  assert.throws(() => reading((query) => query("a").selectAll().executeTakeFirstOrThrow(), none), { reason: "PLUGIN_FAILED", message: "No result" })
  assert.equal(reading((query) => query("a").selectAll().stream, none), undefined)
  assert.equal(reading((query) => query("a").selectAll().compile().sql, none), 'select * from "a"')
})

test("values keep their types both ways; of the JSON only snapshot_content is parsed", () => {
  let sent: unknown
  const row = reading(
    (query) => query("a").where("x", "in", [null, "t", false, 0.5, 9007199254740993n, new Uint8Array([0, 255, 1, 2])]).selectAll().executeTakeFirst(),
    (_sql, params) => {
      sent = JSON.parse(params)
      return '{"columns":["snapshot_content","metadata","entity_id","big","bytes","none","empty"],"rows":[["{\\"v\\":{}}","{}","1",{"integer":"9007199254740993"},{"base64":"AP8BAg=="},null,{"base64":""}]]}'
    },
  )
  assert.deepEqual(sent, [null, "t", 0, 0.5, { integer: "9007199254740993" }, { base64: "AP8BAg==" }])
  assert.deepEqual(row, { snapshot_content: { v: {} }, metadata: "{}", entity_id: "1", big: 9007199254740993n, bytes: new Uint8Array([0, 255, 1, 2]), none: null, empty: new Uint8Array(0) })
  for (let length = 0; length < 9; length++) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 97 + 251) % 256)
    let base64 = ""
    const back = reading((query) => query("a").where("x", "=", bytes).selectAll().executeTakeFirst(), (_sql, params) => {
      base64 = (JSON.parse(params) as [{ base64: string }])[0].base64
      return JSON.stringify({ columns: ["x"], rows: [[{ base64 }]] })
    }) as SyncRow
    assert.deepEqual([base64, back["x"]], [Buffer.from(bytes).toString("base64"), bytes])
  }
  for (const value of [undefined, NaN, Infinity, 1n << 64n, new Date(), Symbol("s")]) {
    assert.throws(() => reading((query) => query("a").where("x", "=", value as number).selectAll().execute(), () => assert.fail("nothing is asked")), { reason: "PLUGIN_FAILED" })
  }
})

test("an error of the engine is an Error for the plugin, which may go on without the answer", () => {
  const refuse = () => {
    throw { reason: "SQL_ERROR", message: "no such table: nowhere" }
  }
  assert.throws(() => reading((query) => query("nowhere").selectAll().execute(), refuse), { reason: "PLUGIN_FAILED", subject: "k", message: "no such table: nowhere" })
  const caught = reading((query) => {
    try {
      query("nowhere").selectAll().execute()
      return undefined
    } catch (error) {
      return [error instanceof Error, (error as { reason?: string }).reason]
    }
  }, refuse)
  assert.deepEqual(caught, [true, "SQL_ERROR"])
})

test("an engine that breaks while a plugin reads is nothing that the plugin can hide", () => {
  const trap = new WebAssembly.RuntimeError("unreachable")
  const broken = () => {
    throw trap
  }
  const swallow = (query: QuerySync) => {
    try {
      query("a").selectAll().execute()
    } catch {}
  }
  assert.throws(() => reading(swallow, broken), (error) => error === trap)
  assert.throws(() => reading((query) => query("a").selectAll().execute(), broken), (error) => error === trap)
})

test("querySync belongs to the call", () => {
  let kept: QuerySync | undefined
  const runtime = createPluginRuntime([
    { key: "outer", detectChanges: ({ querySync }: DetectChangesInput) => ((kept = querySync), querySync("a").selectAll().execute(), []) },
    { key: "inner", applyChanges: () => ({ fileData: new Uint8Array(0) }) },
  ])
  const asked: string[] = []
  const call = () => runtime.detectChanges(0, undefined, undefined, descriptor("/a"), new Uint8Array(0))
  assert.throws(call, { reason: "PLUGIN_FAILED", message: "querySync works only while the plugin is being called" }, "nothing to read from yet")
  runtime.connect((text) => {
    asked.push(text)
    // The engine may call another plugin to answer.
    runtime.applyChanges(1, '{"id":"f","path":"/a","metadata":null}', '{"file_id":"f","plugin_key":"inner","version_id":"v","rows":[]}')
    return '{"columns":[],"rows":[]}'
  })
  call()
  assert.equal(asked.length, 1)
  assert.throws(() => kept!("a").selectAll().execute(), { message: "querySync works only while the plugin is being called" })
  assert.equal(asked.length, 1)
})

test("the generated script runs with nothing but the language", async () => {
  const text = readFileSync(new URL("../../../../crates/native/src/plugins/runtime.js", import.meta.url), "utf8")
  assert.ok(!/^\s*import\b/m.test(text))
  // No TextDecoder, no timers, no console: what a context has is what ECMAScript has.
  const exported = vm.runInNewContext(`${text.replace(/export\s*\{([^}]*)\};?\s*$/, (_, names: string) => `({${names.replace(/([\w$]+) as ([\w$]+)/g, "$2: $1")}})`)}`) as { createPluginRuntime: typeof createPluginRuntime }
  const runtime = exported.createPluginRuntime([{ key: "k", detectChanges: ({ querySync }: DetectChangesInput) => [{ entity_id: "e", schema: SCHEMA, snapshot_content: querySync("a").selectAll().executeTakeFirst()! }] }])
  runtime.connect(() => '{"columns":["x"],"rows":[[1]]}')
  assert.deepEqual(JSON.parse(runtime.detectChanges(0, undefined, undefined, descriptor("/a"), new Uint8Array(0))), { schemas: [SCHEMA], changes: [[0, "e", { x: 1 }]] })
})

function moduleOf(text: string): Promise<unknown> {
  return import(`data:text/javascript,${text}`)
}

function descriptor(path: string): string {
  return JSON.stringify({ id: "f", path, metadata: { a: 1 }, hidden: false })
}

function detect(detectChanges: () => unknown, before?: (runtime: PluginRuntime) => void): string {
  const runtime = createPluginRuntime([{ key: "k", detectChanges }])
  before?.(runtime)
  return runtime.detectChanges(0, undefined, undefined, descriptor("/a"), new Uint8Array(0))
}

function apply(applyChanges: () => unknown): Uint8Array {
  const runtime = createPluginRuntime([{ key: "k", applyChanges }])
  return runtime.applyChanges(0, '{"id":"f","path":"/a","metadata":null}', '{"file_id":"f","plugin_key":"k","version_id":"v","rows":[]}')
}

/** What a plugin gets when it reads, by what the engine answers. */
function reading<T>(read: (query: QuerySync) => T, answer: (sql: string, params: string) => string): T {
  let result: T
  const runtime = createPluginRuntime([{ key: "k", detectChanges: ({ querySync }: DetectChangesInput) => ((result = read(querySync)), []) }])
  runtime.connect(answer)
  runtime.detectChanges(0, undefined, undefined, descriptor("/a"), new Uint8Array(0))
  return result!
}
