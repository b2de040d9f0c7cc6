/**
 * Plugins in a worker with real OPFS, and in the page: they load, run, read in the middle of a statement, fail, loop.
 */

import { createEngine, createMainMemoryEngine, createWorkerEngine, createWorkerOpfsEngine, type EngineEvents, type InitOptions, type LixEngine, type LixPlugin, type WorkerOpfsOptions } from "../../../src/index.js"
import pluginMd from "text:@lix-js/plugin-md"
import csv from "text:lix-plugin-csv"
import json from "text:lix-plugin-json"
import markdown from "text:lix-plugin-markdown"
import lines from "text:lix-plugin-text"
import { content, judge, STEPS, tell } from "../../support/plugin-md.js"
import { PROPERTIES, READER, RUNS } from "../../support/plugins.js"
import type { Checks } from "./checks.js"
import { ok, rejects, same, watchTraffic, within } from "./support.js"

export const PLUGINS: Checks = {
  async "plugins: a file becomes entities in the worker, one commit, and is the file again"() {
    const engine = await open({ expProvideStringifiedPlugins: [PROPERTIES], events: ["commit"], commitDetail: "keys" })
    same(crossOriginIsolated, false)
    const commits: EngineEvents["commit"][] = []
    engine.on("commit", (event) => commits.push(event))
    await write(engine, "/a.json", '{"a":1,"b":[true]}')
    same([commits.length, own(commits[0])], [1, ["a", "b"]])
    same(await entities(engine, "/a.json"), { a: { value: 1 }, b: { value: [true] } })
    await change(engine, "/a.json", '{"b":[true],"c":"ä"}')
    same([commits.length, own(commits[1])], [2, ["a", "c"]])
    same(await read(engine, "/a.json"), '{"b":[true],"c":"ä"}')
    await engine.close()

    const again = await open({ expProvideStringifiedPlugins: [PROPERTIES] })
    same([await read(again, "/a.json"), await entities(again, "/a.json")], ['{"b":[true],"c":"ä"}', { b: { value: [true] }, c: { value: "ä" } }])
    await again.close()
    const without = await open({})
    same(await read(without, "/a.json"), '{"b":[true],"c":"ä"}', "without its plugin, the bytes as they were written")
    await without.close()
  },

  async "plugins: one reads what the statement that calls it has done so far"() {
    const engine = await open({ expProvideStringifiedPlugins: [READER, PROPERTIES, RUNS] })
    await engine.exec("insert into file (id, path, data) values ('/1.read', '/1.read', x'01'), ('/2.read', '/2.read', x'02')")
    same(await entities(engine, "/1.read"), { seen: { files: 1, seen: 0, path: "/1.read" } })
    same(await entities(engine, "/2.read"), { seen: { files: 2, seen: 1, path: "/2.read" } })
    await write(engine, "/a.json", '{"a":1}')
    const what = "throw new Error(new TextDecoder().decode(input.querySync('file').where('path', '=', '/a.json').select('data').executeTakeFirstOrThrow().data))"
    const { message } = await rejects(write(engine, "/b.run", what), "PLUGIN/PLUGIN_FAILED")
    same(message, '{"a":1}', "one plugin in the middle of another")
    await engine.close()
  },

  async "plugins: what one does wrong is the statement's error, and nothing of it stays"() {
    const engine = await open({ expProvideStringifiedPlugins: [RUNS] })
    for (const [code, reason] of [
      ["throw new Error('no')", "PLUGIN_FAILED"],
      ["return Promise.resolve([])", "PLUGIN_ASYNC"],
      ["return [{ entity_id: 1 }]", "PLUGIN_INVALID"],
      ["const f = () => f(); f()", "PLUGIN_FAILED"],
    ] as const) {
      const error = await rejects(write(engine, "/a.run", code), `PLUGIN/${reason}`, code)
      same(error.subject, "test-runs")
    }
    same((await engine.exec("select path from file")).rows, [])
    await engine.close()
  },

  async "plugins: what does not load makes init fail, and storage is not touched"() {
    for (const [text, reason, message] of [
      ["export default {", "PLUGIN_LOAD", /SyntaxError/],
      ["import { sql } from 'kysely'; export default { key: 'a' }", "PLUGIN_LOAD", /bundle what it uses/],
      ["import { sql } from './kysely.js'; export default { key: 'a' }", "PLUGIN_LOAD", /bundle what it uses/],
      ["throw new Error('not here')", "PLUGIN_LOAD", /not here/],
      ["export const other = 1", "PLUGIN_INVALID", /neither plugin nor default/],
      ["await new Promise(() => {})", "PLUGIN_TIMEOUT", /200 ms/],
      ["document.title; export default { key: 'a' }", "PLUGIN_LOAD", /document/],
    ] as const) {
      const engine = createWorkerOpfsEngine({ path: "load.lix", lix: true, openMode: "create", pluginTimeoutMs: 200 })
      const error = await rejects(engine.init({ expProvideStringifiedPlugins: [PROPERTIES, text] }), `PLUGIN/${reason}`, text)
      same(error.subject, "1")
      ok(message.test(error.message), `${text}: ${error.message}`)
      ok(!error.message.includes("blob:"), error.message)
      await engine.init({ expProvideStringifiedPlugins: [PROPERTIES], openMode: "replace" })
      await write(engine, "/a.json", "{}")
      await engine.close()
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("lix-engine")
      await root.removeEntry("load.lix")
    }
  },

  async "plugins: ours, for JSON, CSV, Markdown and text: an edit is one change, and all is there again"() {
    const plugins = { expProvideStringifiedPlugins: [json, csv, markdown, lines] }
    const engine = await open(plugins)
    const files = [
      ["/a.json", '{\n  "a": [1, 2],\n  "b": 1.0\n}\n', '{\n  "a": [1, "new", 2],\n  "b": 1.0\n}\n'],
      ["/a.csv", 'id;name\r\n1;"a;b"\r\n', 'id;name\r\n0;new\r\n1;"a;b"\r\n'],
      ["/a.md", "# ä\n\none\n\n- two\n", "# ä\n\n- two\n\none\n"],
      ["/a.txt", "one\ntwo", "one\n2\ntwo"],
    ] as const
    const log = async () => Number((await engine.exec("select count(*) as n from change where plugin_key like 'lix-plugin-%'")).rows[0]!["n"])
    for (const [path, before, after] of files) {
      await write(engine, path, before)
      const seen = await log()
      await change(engine, path, after)
      same([await read(engine, path), (await log()) - seen], [after, 1], path)
    }
    await engine.close()
    const again = await open(plugins)
    for (const [path, , after] of files) same(await read(again, path), after)
    await again.close()
  },

  async "plugins: @lix-js/plugin-md of npm runs unchanged: inserts, edits, moves, reads back"() {
    const engine = await open({ expProvideStringifiedPlugins: [pluginMd] })
    judge(await tell(engine))
    await engine.close()
    const again = await open({ expProvideStringifiedPlugins: [pluginMd] })
    same((await content(again)).trim(), STEPS.at(-1)!.trim())
    await again.close()
  },

  async "plugins: a text of 5 MB"() {
    const engine = await open({ expProvideStringifiedPlugins: [`\uFEFF// ${"ä\u{1F600} ".repeat(800_000)}\n${PROPERTIES}`] })
    await write(engine, "/a.json", '{"a":1}')
    same(await entities(engine, "/a.json"), { a: { value: 1 } })
    await engine.close()
  },

  async "plugins: one that loops costs its engine, and nothing that was saved"() {
    const engine = await open({ expProvideStringifiedPlugins: [PROPERTIES, RUNS], pluginTimeoutMs: 300 })
    const closed = new Promise<EngineEvents["closed"]>((resolve) => engine.on("closed", resolve))
    await write(engine, "/a.json", '{"a":1}')
    await engine.save()
    const waiting = [write(engine, "/a.run", "for (;;);"), engine.exec("select 1"), engine.export()]
    for (const call of waiting) same((await rejects(call, "PLUGIN/PLUGIN_TIMEOUT")).subject, "test-runs")
    same((await within(1_000, closed, "the event")).error.reason, "PLUGIN_TIMEOUT")
    await rejects(engine.exec("select 1"), "LIFECYCLE/FAILED")
    await engine.close()

    const again = await open({ expProvideStringifiedPlugins: [PROPERTIES, RUNS], busyWaitMs: 5_000 })
    same((await again.exec("select path from file")).rows, [{ path: "/a.json" }])
    same(await read(again, "/a.json"), '{"a":1}')
    await again.close()
  },

  async "plugins: a module that loops ends init"() {
    const engine = createWorkerOpfsEngine({ path: "plugins.lix", pluginTimeoutMs: 300, expProvideStringifiedPlugins: [PROPERTIES, "for (;;);"] })
    const { subject } = await rejects(engine.init(), "PLUGIN/PLUGIN_TIMEOUT")
    same([subject, engine.status().phase], ["1", "failed"])
  },

  async "plugins: one that is slow, but not too slow, is left alone; the page has its thread"() {
    const engine = await open({ expProvideStringifiedPlugins: [RUNS], pluginTimeoutMs: 2_000 })
    let turns = 0
    const timer = setInterval(() => turns++, 10)
    for (let round = 0; round < 3; round++) await write(engine, `/${round}.run`, "for (const end = performance.now() + 900; performance.now() < end;);")
    clearInterval(timer)
    ok(turns > 50, `the page had ${turns} turns`)
    await engine.close()
  },

  async "plugins: a message each way, and a note before and after a plugin"() {
    const traffic = watchTraffic()
    const engine = await open({ expProvideStringifiedPlugins: [PROPERTIES], autosave: { disabled: true } })
    traffic.count()
    await engine.exec("select count(*) from file")
    same(traffic.count(), { sent: 1, received: 1 })
    await write(engine, "/a.json", "{}")
    same(traffic.count(), { sent: 1, received: 3 })
    await engine.close()
  },

  async "plugins: objects stay in their thread"() {
    const plugin: LixPlugin = { key: "object" }
    const engine = createWorkerEngine()
    const { subject, message } = await rejects(engine.init({ providePlugins: [plugin] }), "INVALID/OPTION_INVALID")
    same(subject, "providePlugins")
    ok(message.includes("expProvideStringifiedPlugins"), message)
    engine.terminate()

    let called = 0
    const here = createMainMemoryEngine({ lix: true, providePlugins: [{ key: "object", detectChangesGlob: "*.o", detectChanges: () => (called++, []) }], expProvideStringifiedPlugins: [PROPERTIES] })
    await here.init()
    await write(here, "/a.o", "x")
    await write(here, "/a.json", '{"a":1}')
    same([called, await read(here, "/a.json")], [1, '{"a":1}'])
    await here.close()
  },

  async "plugins: a Content-Security-Policy without blob: is named in the error"() {
    const forbidding = createEngine(new Worker("/no-blob/worker.js", { type: "module" }))
    const error = await rejects(forbidding.init({ expProvideStringifiedPlugins: [PROPERTIES] }), "PLUGIN/PLUGIN_LOAD")
    ok(/Content-Security-Policy.*blob:.*script-src/.test(error.message), error.message)
    await forbidding.init()
    await forbidding.close()
    const allowing = createEngine(new Worker("/blob/worker.js", { type: "module" }))
    await allowing.init({ lix: true, expProvideStringifiedPlugins: [PROPERTIES] })
    await write(allowing, "/a.json", '{"a":1}')
    same(await read(allowing, "/a.json"), '{"a":1}')
    await allowing.close()
  },

  async "plugins: what runs them is fetched only for them, and missed with its address"() {
    const engine = createEngine(new Worker("/no-runtime/worker.js", { type: "module" }))
    const { message } = await rejects(engine.init({ expProvideStringifiedPlugins: [PROPERTIES] }), "PLUGIN/PLUGIN_LOAD")
    ok(message.includes(`${location.origin}/no-runtime/plugins/runtime.js`), message)
    await engine.init()
    same((await engine.exec("select 1 as a")).rows, [{ a: 1 }])
    await engine.close()
  },
}

/** The database of a check; before each of them everything stored is removed. */
async function open(options: Partial<WorkerOpfsOptions>, init?: InitOptions): Promise<LixEngine> {
  const engine = createWorkerOpfsEngine({ path: "plugins.lix", lix: true, ...options })
  await engine.init(init)
  return engine
}

function write(engine: LixEngine, path: string, text: string): Promise<unknown> {
  return engine.exec("insert into file (id, path, data) values (?, ?, ?)", [path, path, new TextEncoder().encode(text)])
}

function change(engine: LixEngine, path: string, text: string): Promise<unknown> {
  return engine.exec("update file set data = ? where path = ?", [new TextEncoder().encode(text), path])
}

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

/** The plugin's entities of a commit. */
function own(event: EngineEvents["commit"] | undefined): unknown {
  return event?.changes?.filter(({ schema_key }) => schema_key === "test_property").map(({ entity_id }) => entity_id).sort()
}
