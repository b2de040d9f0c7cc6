/** `openLix` on a page: the engine in a worker, the lix in the origin private file system. */

import { createWorkerOpfsEngine, EngineError, type WorkerOpfsOptions } from "../../../src/index.js"
import { createVersion, newLixFile, openLix, sql, switchVersion, type Lix, type LixPlugin, type OpenLixOptions } from "../../../src/lix/index.js"
import type { Checks } from "./checks.js"
import { leavesPageAlone, ok, rejects, same, watchTraffic, within } from "./support.js"

const checks: Checks = {
  async "a lix opens, is written to and opens again, with the same data and the same changes"() {
    same(crossOriginIsolated, false)
    const options: OpenLixOptions = { account: { id: "ada", name: "Ada" }, keyValues: [{ key: "theme", value: { dark: true } }] }
    const lix = await open("notes.lix", options)
    await lix.db.insertInto("key_value").values({ key: "note", value: ["kept", false] }).execute()
    await lix.db.insertInto("file").values({ id: "f", path: "/a.bin", data: new Uint8Array([1, 2, 3]), metadata: { a: 1 } }).execute()
    const all = async (lix: Lix) => ({
      changes: await lix.db.selectFrom("change").selectAll().orderBy("id").execute(),
      state: await lix.db.selectFrom("state_all").selectAll().orderBy("entity_id").orderBy("schema_key").orderBy("version_id").execute(),
      files: await lix.db.selectFrom("file").selectAll().execute(),
    })
    const before = await all(lix)
    await lix.close()
    const again = await open("notes.lix", options)
    same(await all(again), before, "opened again")
    same(await again.db.selectFrom("key_value").select("value").where("key", "in", ["note", "theme"]).orderBy("key").execute(), [{ value: ["kept", false] }, { value: { dark: true } }])
    same(await again.db.selectFrom("active_account").select("account_id").execute(), [{ account_id: "ada" }])
    await again.close()
  },

  async "what was saved is there after the worker was ended without being asked"() {
    const lix = await open("killed.lix")
    await lix.db.insertInto("key_value").values({ key: "a", value: 1 }).execute()
    await lix.engine.save()
    const changes = await lix.db.selectFrom("change").select("id").orderBy("id").execute()
    lix.engine.terminate()
    const again = await open("killed.lix", {}, { busyWaitMs: 5_000 })
    same(await again.db.selectFrom("change").select("id").orderBy("id").execute(), changes)
    await again.close()
  },

  async "opening is two exchanges at most, a query is one"() {
    const traffic = watchTraffic()
    const lix = await open("traffic.lix", { account: { id: "ada", name: "Ada" }, keyValues: [{ key: "a", value: 1 }] })
    const sent = traffic.count().sent
    ok(sent <= 2, `${sent} messages`)
    await lix.db.selectFrom("key_value").selectAll().execute()
    same(traffic.count().sent, 1)
    await createVersion({ lix, name: "Draft" })
    same(traffic.count().sent, 1)
    await lix.close()
  },

  async "an opening that fails lets the path go at once"() {
    const failing: [OpenLixOptions, string][] = [
      [{ providePlugins: [{ key: "p" }] }, "INVALID/OPTION_INVALID"],
      [{ blob: new Blob(["no lix"]) }, "CORRUPT/IMAGE_INVALID"],
      [{ blob: new Blob([]) }, "CORRUPT/IMAGE_INVALID"],
      [{ keyValues: [{ key: "a", value: 1, lixcol_version_id: "nope" }] }, "INVALID/VERSION_UNKNOWN"],
    ]
    for (const [options, expected] of failing) {
      const error = await rejects(open("failing.lix", options), expected)
      if (options.providePlugins) ok(error.message.includes("expProvideStringifiedPlugins"), error.message)
    }
    await rejects(open("failing.lix", {}, { expProvideStringifiedPlugins: ["export const plugin = {"] }), "PLUGIN/PLUGIN_LOAD")
    const lix = await open("failing.lix", {}, { busyWaitMs: 0 })
    same(await lix.db.selectFrom("key_value").select("key").where("key", "=", "a").execute(), [])
    await rejects(open("failing.lix", {}, { busyWaitMs: 0 }), "STORAGE/STORAGE_BUSY")
    await lix.close()
  },

  async "bytes win over what is stored, and come out again"() {
    const stored = await open("blob.lix", { keyValues: [{ key: "which", value: "stored" }] })
    await stored.close()
    const blob = await newLixFile({ keyValues: [{ key: "which", value: "given" }, { key: "lix_name", value: "given" }] })
    same(blob._lix.name, "given")
    for (const options of [{ blob }, {}]) {
      const lix = await open("blob.lix", options)
      same(await lix.db.selectFrom("key_value").select("value").where("key", "=", "which").execute(), [{ value: "given" }])
      const copy = await openLix({ blob: await lix.toBlob() })
      same(await copy.db.selectFrom("key_value").select("value").where("key", "=", "lix_id").execute(), [{ value: blob._lix.id }])
      await copy.close()
      await lix.close()
    }
  },

  async "without an engine the lix is in memory, in a worker; with plugin objects in this thread"() {
    const traffic = watchTraffic()
    const lix = await openLix()
    same([traffic.workers.length, lix.engine.status().storage], [1, "memory"])
    await lix.close()
    const plugin: LixPlugin = { key: "plugin_here" }
    const here = await openLix({ providePlugins: [plugin] })
    same([traffic.workers.length, (await here.plugin.getAll())[0] === plugin], [1, true])
    await here.close()
  },

  async "a plugin in the worker detects changes; what observes the file is told, also when its entities are written"() {
    const lix = await open("plugin.lix", {}, { expProvideStringifiedPlugins: [WORDS] })
    same((await lix.plugin.getAll()).map(({ key }) => key), ["plugin_words"])
    const told: string[] = []
    let wake = () => {}
    const heard: string[][] = []
    lix.hooks.onStateCommit(({ changes }) => heard.push(changes.map(({ schema_key }) => schema_key)))
    lix.observe(lix.db.selectFrom("file").select("data").where("id", "=", "f")).subscribeTakeFirst({
      next(row) {
        told.push(row ? new TextDecoder().decode(row.data) : "none")
        wake()
      },
    })
    const until = async (text: string) => {
      while (told.at(-1) !== text) await within(5_000, new Promise<void>((resolve) => (wake = resolve)), text)
    }
    await until("none")
    await lix.db.insertInto("file").values({ id: "f", path: "/a.words", data: new TextEncoder().encode("one two") }).execute()
    await until("one two")
    ok(heard[0]!.includes("word") && heard[0]!.includes("lix_file_descriptor"), String(heard))
    await lix.db.updateTable("state").set({ snapshot_content: { text: "ONE" } }).where("schema_key", "=", "word").where("entity_id", "=", "0").execute()
    await until("ONE two")
    const draft = await createVersion({ lix, name: "Draft" })
    await switchVersion({ lix, to: draft })
    await lix.db.updateTable("file").set({ data: new TextEncoder().encode("draft") }).where("id", "=", "f").execute()
    await until("draft")
    const main = await lix.db.selectFrom("version").select("id").where("name", "=", "main").executeTakeFirstOrThrow()
    await switchVersion({ lix, to: main })
    await until("ONE two")
    await lix.close()
  },

  async "observers of a lix that is written to all the time leave the page alone"() {
    const lix = await open("busy.lix")
    let times = 0
    lix.observe(lix.db.selectFrom("key_value").selectAll().where("key", "like", "k%")).subscribe(() => times++)
    const note = await leavesPageAlone(async () => {
      await Promise.all(Array.from({ length: 10 }, (_, index) => lix.db.transaction().execute(async (trx) => {
        for (let at = 0; at < 20; at++) {
          const key = `k${index}-${at}-${times}`
          await trx.insertInto("key_value").values({ key, value: { at, text: "x".repeat(100) } }).execute()
        }
      })))
    })
    ok(times > 1, `told ${times} times`)
    await lix.close()
    return note
  },

  async "the error classes are one: of the entry for lixes and of the package"() {
    const lix = await open("errors.lix")
    const error = await lix.db.selectFrom("nope" as "label").selectAll().execute().then(() => undefined, (error: unknown) => error)
    ok(error instanceof EngineError && error.reason === "SQL_ERROR", String(error))
    same((await sql<{ n: number }>`select count(*) as n from label`.execute(lix.db)).rows.length, 1)
    await lix.close()
    await rejects(lix.db.selectFrom("label").selectAll().execute(), "LIFECYCLE/CLOSED")
  },
}

function open(path: string, options: OpenLixOptions = {}, engine: Partial<WorkerOpfsOptions> = {}): Promise<Lix> {
  return openLix({ engine: createWorkerOpfsEngine({ path, ...engine }), ...options })
}

/** One entity for each word, by its place. */
const WORDS = `
const schema = { "x-lix-key": "word", "x-lix-version": "1.0", type: "object", properties: { text: { type: "string" } } }
const words = (data) => (data ? new TextDecoder().decode(data).split(" ").filter(Boolean) : [])
export const plugin = {
  key: "plugin_words",
  detectChangesGlob: "*.words",
  detectChanges({ before, after }) {
    const [old, now] = [words(before?.data), words(after.data)]
    return Array.from({ length: Math.max(old.length, now.length) }, (_, at) => at)
      .filter((at) => old[at] !== now[at])
      .map((at) => ({ entity_id: String(at), schema, snapshot_content: at < now.length ? { text: now[at] } : null }))
  },
  applyChanges({ changes }) {
    const sorted = [...changes].sort((a, b) => Number(a.entity_id) - Number(b.entity_id))
    return { fileData: new TextEncoder().encode(sorted.map(({ snapshot_content }) => snapshot_content.text).join(" ")) }
  },
}
`

/** What an earlier check left is gone. */
async function clear(): Promise<void> {
  const root = await navigator.storage.getDirectory()
  await root.removeEntry("lix-engine", { recursive: true }).catch(() => {})
}

Object.assign(globalThis, { checks: Object.fromEntries(Object.entries(checks).map(([name, run]) => [name, async () => (await clear(), run())])) })
