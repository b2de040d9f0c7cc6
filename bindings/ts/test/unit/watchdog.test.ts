// Plugins from the host's side of a port: what is sent, what is refused, and when a worker is ended.

import assert from "node:assert/strict"
import { test, type TestContext } from "node:test"
import { createEngine, type EngineEvents, type InitOptions, type LixPlugin } from "../../src/index.js"
import { PluginFormat } from "../../src/gen/engine_pb.js"
import { rejects } from "../support/assert.js"
import { opened, ScriptedEngine, type Seen } from "../support/scripted.js"

const plugin: LixPlugin = { key: "object" }

test("plugins travel as attachments, objects by their key, the factory's first", async () => {
  const scripted = opened()
  const provided: (readonly LixPlugin[])[] = []
  scripted.port.providePlugins = (plugins) => void provided.push(plugins)
  const second: LixPlugin = { key: "second" }
  const engine = createEngine(scripted.port, { expProvideStringifiedPlugins: ["export {} // ä"], providePlugins: [plugin] })
  await engine.init({ expProvideStringifiedPlugins: ["export default 2"], providePlugins: [second], blob: new Uint8Array([1]), pluginTimeoutMs: 77 })
  const { call, attachments } = scripted.seen[0]!
  assert.ok(call.case === "init")
  assert.equal(call.value.pluginTimeoutMs, 77)
  const { BUILTIN, ESM } = PluginFormat
  assert.deepEqual(call.value.plugins.map(({ key, format, code }) => [key, format, code.value]), [["object", BUILTIN, undefined], ["", ESM, 1], ["second", BUILTIN, undefined], ["", ESM, 2]])
  assert.deepEqual(attachments.slice(1).map((text) => new TextDecoder().decode(text)), ["export {} // ä", "export default 2"])
  assert.deepEqual(provided, [[plugin, second]])
})

test("without plugins nothing of them is said", async () => {
  const scripted = opened()
  const posted: unknown[] = []
  const { postMessage } = scripted.port
  scripted.port.postMessage = (message, transfer) => (posted.push(Object.keys(message as object)), postMessage.call(scripted.port, message, transfer))
  await createEngine(scripted.port).init()
  assert.deepEqual(posted, [["v", "frame"]])
})

test("what is no plugin is refused before anything is sent", async () => {
  const refusals: [options: unknown, subject: string, message: RegExp][] = [
    [{ expProvideStringifiedPlugins: "export default {}" }, "expProvideStringifiedPlugins", /no array/],
    [{ expProvideStringifiedPlugins: [plugin] }, "expProvideStringifiedPlugins[0]", /\?raw/],
    [{ expProvideStringifiedPlugins: ["", "'\ud800'"] }, "expProvideStringifiedPlugins[1]", /UTF-8/],
    [{ providePlugins: {} }, "providePlugins", /no array/],
    [{ providePlugins: [plugin, "text"] }, "providePlugins[1]", /expProvideStringifiedPlugins/],
    [{ providePlugins: [null] }, "providePlugins[0]", /no plugin/],
    [{ providePlugins: [plugin] }, "providePlugins", /in a worker.*expProvideStringifiedPlugins/],
    [{ pluginTimeoutMs: 0 }, "pluginTimeoutMs", /pluginTimeoutMs/],
    [{ pluginTimeoutMs: 0.5 }, "pluginTimeoutMs", /pluginTimeoutMs/],
  ]
  for (const [options, subject, message] of refusals) {
    const scripted = opened()
    const engine = createEngine(scripted.port)
    const error = await rejects(engine.init(options as InitOptions), "INVALID/OPTION_INVALID", { subject })
    assert.match(error.message, message)
    assert.equal(scripted.seen.length, 0)
    await engine.init()
  }
  const scripted = opened()
  scripted.port.providePlugins = () => {}
  await rejects(createEngine(scripted.port).init({ providePlugins: [plugin, {} as LixPlugin] }), "PLUGIN/PLUGIN_INVALID", { subject: "1" })
})

test("a worker whose plugin takes too long is ended, and every call that waits is told", async (t) => {
  const { engine, scripted, wait } = await watched(t, 1_000)
  const closed: EngineEvents["closed"][] = []
  engine.on("closed", (event) => closed.push(event))
  const calls = [engine.exec("insert into file (path) values ('/a')"), engine.exec("select 1"), engine.export()]
  scripted.post({ v: 1, plugin: "loops" })
  wait(999)
  scripted.post({ v: 1, plugin: null })
  scripted.post({ v: 1, plugin: "loops" })
  wait(1_050)
  assert.equal(scripted.port.terminated, 0, "the end may be on its way")
  wait(100)
  assert.equal(scripted.port.terminated, 1)
  for (const call of calls) {
    const error = await rejects(call, "PLUGIN/PLUGIN_TIMEOUT", { subject: "loops" })
    assert.match(error.message, /loops took longer than 1000 ms/)
  }
  assert.deepEqual([engine.status().phase, closed.length, closed[0]?.error.reason], ["failed", 1, "PLUGIN_TIMEOUT"])
  await rejects(engine.exec("select 1"), "LIFECYCLE/FAILED")
  await engine.close()
})

test("a plugin that ends in time, or while the page was busy, is left alone", async (t) => {
  const { engine, scripted, wait } = await watched(t, 1_000)
  scripted.script = ({ id }) => scripted.answer(id, { case: "exec", value: {} })
  scripted.post({ v: 1, plugin: "slow" })
  // The page itself was busy: the time is over before the message that waits is seen.
  wait(1_000)
  scripted.post({ v: 1, plugin: null })
  wait(10_000)
  assert.equal(scripted.port.terminated, 0)
  await engine.exec("select 1")
})

test("nothing is ended twice: closed, terminated or lost, the dog is gone", async (t) => {
  for (const end of ["terminate", "lost"] as const) {
    const { engine, scripted, wait } = await watched(t, 1_000)
    scripted.post({ v: 1, plugin: "loops" })
    if (end === "terminate") engine.terminate()
    else scripted.port.onerror!({ message: "gone" } as ErrorEvent)
    const { phase } = engine.status()
    assert.equal(scripted.port.terminated, 1)
    wait(10_000)
    assert.deepEqual([scripted.port.terminated, engine.status().phase], [1, phase])
    t.mock.timers.reset()
  }
})

test("a module that loops while it is loaded ends init", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] })
  const scripted = new ScriptedEngine()
  const engine = createEngine(scripted.port, { expProvideStringifiedPlugins: ["for (;;);"], pluginTimeoutMs: 500 })
  const init = engine.init()
  assert.equal((scripted.seen[0] as Seen).call.case, "init")
  scripted.post({ v: 1, plugin: "0" })
  t.mock.timers.tick(500)
  t.mock.timers.tick(100)
  await rejects(init, "PLUGIN/PLUGIN_TIMEOUT", { subject: "0" })
  assert.equal(engine.status().phase, "failed")
})

async function watched(t: TestContext, pluginTimeoutMs: number) {
  t.mock.timers.enable({ apis: ["setTimeout"] })
  const scripted = opened()
  const engine = createEngine(scripted.port)
  await engine.init({ expProvideStringifiedPlugins: ["export default {}"], pluginTimeoutMs })
  // One step after the other: a timer that is set by a timer begins then.
  const wait = (ms: number) => {
    for (let step = 0; step < ms; step += 50) t.mock.timers.tick(Math.min(50, ms - step))
  }
  return { engine, scripted, wait }
}
