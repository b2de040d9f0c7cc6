// Plugins on the real engine in this thread, from text and as objects.

import assert from "node:assert/strict"
import { test, type TestContext } from "node:test"
import { createMainMemoryEngine, EngineError, type EngineEvents, type InitOptions, type LixEngine, type LixPlugin, type MainMemoryOptions } from "../../src/index.js"
import { rejects } from "../support/assert.js"
import { PROPERTIES, READER, RUNS } from "../support/plugins.js"

async function open(t: TestContext, options: MainMemoryOptions, own?: InitOptions): Promise<LixEngine> {
  const engine = createMainMemoryEngine({ lix: true, ...options })
  t.after(() => engine.close())
  await engine.init(own)
  return engine
}

const bytes = (text: string) => new TextEncoder().encode(text)
const write = (engine: LixEngine, path: string, text: string) => engine.exec("insert into file (id, path, data) values (?, ?, ?)", [path, path, bytes(text)])

async function read(engine: LixEngine, path: string): Promise<string | undefined> {
  const { rows } = await engine.exec<{ data: Uint8Array }>("select data from file where path = ?", [path])
  return rows[0] && new TextDecoder().decode(rows[0].data)
}

async function entities(engine: LixEngine, path: string): Promise<unknown> {
  const { rows } = await engine.exec<{ entity_id: string; snapshot_content: string }>(
    "select entity_id, snapshot_content from state where file_id = ? and schema_key <> 'lix_file_descriptor' order by entity_id", [path],
  )
  return Object.fromEntries(rows.map(({ entity_id, snapshot_content }) => [entity_id, JSON.parse(snapshot_content)]))
}

test("a plugin in a text: entities, one commit each, and the file back", async (t) => {
  const engine = await open(t, { expProvideStringifiedPlugins: [PROPERTIES], events: ["commit"], commitDetail: "keys" })
  const commits: EngineEvents["commit"][] = []
  engine.on("commit", (event) => commits.push(event))
  await write(engine, "/a.json", '{"a":1,"b":[true]}')
  assert.deepEqual(await entities(engine, "/a.json"), { a: { value: 1 }, b: { value: [true] } })
  assert.equal(await read(engine, "/a.json"), '{"a":1,"b":[true]}')
  assert.equal(commits.length, 1)
  assert.deepEqual(commits[0]!.changes!.filter(({ schema_key }) => schema_key === "test_property").map(({ entity_id, plugin_key }) => [entity_id, plugin_key]), [["a", "test-properties"], ["b", "test-properties"]])

  await engine.exec("update file set data = ? where path = '/a.json'", [bytes('{"b":[true],"c":"x"}')])
  assert.deepEqual(await entities(engine, "/a.json"), { b: { value: [true] }, c: { value: "x" } })
  assert.equal(commits.length, 2)
  assert.deepEqual(commits[1]!.changes!.filter(({ schema_key }) => schema_key === "test_property").map(({ entity_id }) => entity_id).sort(), ["a", "c"])

  await engine.exec("delete from file where path = '/a.json'")
  assert.deepEqual([await entities(engine, "/a.json"), await read(engine, "/a.json")], [{}, undefined])

  await write(engine, "/b.json", '{"kept":1}')
  const blob = await engine.export()
  const again = await open(t, { expProvideStringifiedPlugins: [PROPERTIES], lix: false }, { blob })
  assert.equal(await read(again, "/b.json"), '{"kept":1}')
})

test("texts and objects, of the factory and of init, in that order", async (t) => {
  const called: string[] = []
  const named = (key: string): LixPlugin => ({ key, detectChangesGlob: "*", detectChanges: () => (called.push(key), []) })
  const text = (key: string) => `export default { key: "${key}", detectChangesGlob: "*", detectChanges() { globalThis.CALLED.push("${key}"); return [] } }`
  Object.assign(globalThis, { CALLED: called })
  t.after(() => Reflect.deleteProperty(globalThis, "CALLED"))
  const engine = await open(
    t,
    { expProvideStringifiedPlugins: [text("text of the factory")], providePlugins: [named("object of the factory")] },
    { expProvideStringifiedPlugins: [text("text of init")], providePlugins: [named("object of init")] },
  )
  await write(engine, "/a", "x")
  assert.deepEqual(called, ["object of the factory", "text of the factory", "object of init", "text of init"])
})

test("a plugin reads in the middle of the statement that calls it", async (t) => {
  const engine = await open(t, { expProvideStringifiedPlugins: [READER] })
  await engine.exec("insert into file (id, path, data) values ('/1.read', '/1.read', x'01'), ('/2.read', '/2.read', x'02'), ('/3.read', '/3.read', x'03')")
  const seen = await Promise.all(["/1.read", "/2.read", "/3.read"].map((path) => entities(engine, path)))
  assert.deepEqual(seen, [
    { seen: { files: 1, seen: 0, path: "/1.read" } },
    { seen: { files: 2, seen: 1, path: "/2.read" } },
    { seen: { files: 3, seen: 2, path: "/3.read" } },
  ])
})

test("a plugin can read what another one makes, and cannot write", async (t) => {
  const engine = await open(t, { expProvideStringifiedPlugins: [PROPERTIES, RUNS] })
  await write(engine, "/a.json", '{"a":1}')
  await write(engine, "/b.run", `
    const { data } = input.querySync("file").where("path", "=", "/a.json").select("data").executeTakeFirstOrThrow()
    throw new Error("it says " + new TextDecoder().decode(data))
  `).then(() => assert.fail(), (error: EngineError) => assert.equal(error.message, 'it says {"a":1}'))
  // As an `sql` tag that the plugin brought along would make it.
  const raw = (text: string) => `({ expressionType: undefined, toOperationNode: () => ({ kind: "RawNode", sqlFragments: [${JSON.stringify(text)}], parameters: [] }) })`
  const versions = await engine.exec("select id from version")
  for (const [text, message] of [
    ["1 in (select 1 from lix_create_version('{}'))", /plugins read/],
    ["1; delete from version", /one statement/],
  ] as const) {
    const error = await rejects(write(engine, "/c.run", `input.querySync("version").selectAll().where(${raw(text)}).execute()`), "PLUGIN/PLUGIN_FAILED")
    assert.match(error.message, message)
  }
  assert.deepEqual((await engine.exec("select id from version")).rows, versions.rows)
  assert.deepEqual((await engine.exec("select path from file order by path")).rows, [{ path: "/a.json" }])
})

test("what a plugin does wrong is the statement's error, and nothing of the statement stays", async (t) => {
  const engine = await open(t, { expProvideStringifiedPlugins: [RUNS] })
  const wrong: [code: string, reason: string, message: RegExp][] = [
    ["throw new TypeError('no such thing')", "PLUGIN_FAILED", /^no such thing$/],
    ["return nothing", "PLUGIN_FAILED", /nothing is not defined/],
    ["return Promise.resolve([])", "PLUGIN_ASYNC", /returned a promise/],
    ["return (async () => { throw new Error('late') })()", "PLUGIN_ASYNC", /returned a promise/],
    ["return { changes: [] }", "PLUGIN_INVALID", /not an array/],
    ["return [{}]", "PLUGIN_INVALID", /^changes\[0\]\.entity_id is undefined/],
    ["const f = () => f(); return f()", "PLUGIN_FAILED", /stack/i],
    ["input.querySync('nowhere').selectAll().execute()", "PLUGIN_FAILED", /no such table: nowhere/],
  ]
  for (const [code, reason, message] of wrong) {
    await engine.exec("begin")
    await engine.exec("insert into key_value (key, value) values ('before', '1')")
    const error = await rejects(engine.exec("insert into file (id, path, data) values ('ok', '/ok', x'01'), ('f', '/f.run', ?)", [bytes(code)]), `PLUGIN/${reason}`, { subject: "test-runs" })
    assert.match(error.message, message, code)
    assert.equal(error.state?.inTransaction, true, "the transaction goes on")
    await engine.exec("commit")
    assert.deepEqual((await engine.exec("select path from file")).rows, [], code)
    assert.equal((await engine.exec("delete from key_value where key = 'before'")).changes, 1)
  }
})

test("a plugin that does not load makes init fail; another attempt may succeed", async () => {
  const failing: [texts: string[], reason: string, subject: string, message: RegExp][] = [
    [["export default {"], "PLUGIN_LOAD", "0", /SyntaxError/],
    [[PROPERTIES, "throw new Error('not today')"], "PLUGIN_LOAD", "1", /not today/],
    [["import { sql } from 'kysely'\nexport default { key: 'a' }"], "PLUGIN_LOAD", "0", /kysely.*bundle what it uses/],
    [["import './other.js'; export default { key: 'a' }"], "PLUGIN_LOAD", "0", /bundle what it uses/],
    [["export const other = 1"], "PLUGIN_INVALID", "0", /exports neither plugin nor default; it exports other/],
    [[""], "PLUGIN_INVALID", "0", /exports neither/],
    [["export default { key: 1 }"], "PLUGIN_INVALID", "0", /the key of plugin 0 is a number/],
    [["export default { key: 'a', detectChanges: true }"], "PLUGIN_INVALID", "a", /detectChanges is a boolean/],
    [[PROPERTIES, READER, PROPERTIES], "PLUGIN_DUPLICATE", "test-properties", /same key/],
    [["export default { key: 'lix_own_entity' }"], "PLUGIN_INVALID", "lix_own_entity", /keeps the key/],
    [["await new Promise(() => {}); export default { key: 'a' }"], "PLUGIN_TIMEOUT", "0", /after 200 ms/],
  ]
  for (const [expProvideStringifiedPlugins, reason, subject, message] of failing) {
    const engine = createMainMemoryEngine({ lix: true, pluginTimeoutMs: 200 })
    const error = await rejects(engine.init({ expProvideStringifiedPlugins }), `PLUGIN/${reason}`, { subject })
    assert.match(error.message, message)
    assert.ok(error.message.length < 300, error.message)
    await engine.init({ expProvideStringifiedPlugins: [PROPERTIES] })
    await write(engine, "/a.json", '{"a":1}')
    assert.equal(await read(engine, "/a.json"), '{"a":1}')
    await engine.close()
  }
})

test("calls that were made before the plugins are there wait for them, and close does", async () => {
  const engine = createMainMemoryEngine({ lix: true, expProvideStringifiedPlugins: [PROPERTIES] })
  const opened = engine.init()
  const written = write(engine, "/a.json", '{"a":1}')
  const closed = engine.close()
  await Promise.all([opened, written, closed])
})

test("a text may begin with a byte order mark, end in a comment and be large", async (t) => {
  const large = `\uFEFF// ${"\u00e4\u{1F600} ".repeat(800_000)}\n${PROPERTIES}\n// the end`
  assert.ok(bytes(large).length > 5_000_000)
  const engine = await open(t, { expProvideStringifiedPlugins: [large] })
  await write(engine, "/a.json", '{"a":1}')
  assert.equal(await read(engine, "/a.json"), '{"a":1}')
})

test("each engine has a module of its own, even of the same text", async (t) => {
  const counting = "let calls = 0\nexport default { key: 'counts', detectChangesGlob: '*', detectChanges() { throw new Error(`call ${++calls}`) } }"
  const [first, second] = [await open(t, { expProvideStringifiedPlugins: [counting] }), await open(t, { expProvideStringifiedPlugins: [counting] })]
  for (const [engine, call] of [[first, 1], [first, 2], [second, 1]] as const) {
    assert.equal((await rejects(write(engine, "/a", ""), "PLUGIN/PLUGIN_FAILED")).message, `call ${call}`)
  }
})

test("a plugin in this thread may call its engine, which answers when it has returned", async (t) => {
  let inner: Promise<unknown> | undefined
  const plugin: LixPlugin = {
    key: "calls",
    detectChangesGlob: "*",
    detectChanges() {
      inner ??= engine.exec("select count(*) as n from file")
      return []
    },
  }
  const engine: LixEngine = await open(t, { providePlugins: [plugin] })
  await write(engine, "/a", "x")
  assert.deepEqual(((await inner) as { rows: unknown }).rows, [{ n: 1 }])
})

test("a plugin in this thread may even end its engine", async () => {
  const plugin: LixPlugin = {
    key: "ends",
    detectChangesGlob: "*",
    detectChanges() {
      engine.terminate()
      return []
    },
  }
  const engine = createMainMemoryEngine({ lix: true, providePlugins: [plugin] })
  await engine.init()
  await rejects(write(engine, "/a", "x"), "LIFECYCLE/TRANSPORT_CLOSED")
  await rejects(engine.exec("select 1"), "LIFECYCLE/CLOSED")
})

test("without a lix, plugins are loaded and never called", async (t) => {
  const engine = await open(t, { lix: false, expProvideStringifiedPlugins: [PROPERTIES] })
  assert.deepEqual((await engine.exec("select 1 as one")).rows, [{ one: 1 }])
})
