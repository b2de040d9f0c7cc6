/**
 * Databases that stay, in a real Chromium with a profile on disk: the checks of pages/opfs.ts, and
 * what only a driver outside the page can do: tabs, reloads, the back/forward cache, frozen pages,
 * killed renderers, a full disk, an insecure origin. No COOP, no COEP.
 *
 *   node test/browser/storage.mjs [--dist directory] [part of a name …]      CHROMIUM=path picks the browser
 */

import assert from "node:assert/strict"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { transformSync } from "esbuild"
import { bounded, Checks, launch, launchWithProfile, serve, watchedPage } from "./harness.mjs"
import { killRenderers, Ledger, moment, underLoad } from "./load.mjs"
import { bundle, variant, variants } from "./site.mjs"

async function main() {
  const { values, positionals: wanted } = parseArgs({ options: { dist: { type: "string" } }, allowPositionals: true })
  const dist = values.dist ? resolve(values.dist) : join(here, "../../dist")
  assert.ok(existsSync(join(dist, "worker.js")), "the package is not built: npm run build -w lix-engine")
  const isWanted = (name) => wanted.length === 0 || wanted.some((part) => name.includes(part))
  const suite = new Checks()
  const cleanups = []
  try {
    const ledger = new Ledger()
    const site = await serve({ "/pages/opfs.js": join(await bundle("opfs.ts", cleanups), "opfs.js"), "/pages/": join(here, "pages"), "/package/": dist, ...variants(dist) }, (...request) => ledger.answer(...request) || readmeExample(...request) || variant(dist, ...request))
    cleanups.unshift(site.close)
    const profile = mkdtempSync(join(tmpdir(), "lix-engine-profile-"))
    cleanups.push(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }))
    const context = await launchWithProfile(profile, [`--host-resolver-rules=MAP ${INSECURE} 127.0.0.1`])
    cleanups.unshift(() => context.close())
    const world = { ...site, url: `${site.origin}/pages/opfs.html`, context, ledger, profile }

    const inPage = await namesOf(world)
    for (const name of inPage.filter(isWanted)) await suite.check(name, () => onPage(world, name))
    for (const [name, run] of Object.entries(OUTSIDE)) if (isWanted(name)) await suite.check(name, () => run(world))
  } finally {
    for (const cleanup of cleanups) await cleanup()
  }
  suite.finish()
}

async function namesOf({ context, url }) {
  const page = await context.newPage()
  await page.goto(url)
  const names = await page.evaluate(() => Object.keys(globalThis.checks))
  await page.close()
  for (const part of ["what is written is there", "a worker killed at any moment", "leaves the page alone"]) assert.ok(names.some((name) => name.includes(part)), `no check ${part}`)
  return names
}

async function onPage({ context, url }, name) {
  const seen = await watchedPage(context)
  try {
    await seen.page.goto(url)
    assert.equal(await seen.page.evaluate(() => crossOriginIsolated), false)
    const note = await bounded(seen.page.evaluate((name) => globalThis.checks[name](), name), CHECK_MS, name)
    const expected = EXPECTED[Object.keys(EXPECTED).find((start) => name.startsWith(start))]
    assert.deepEqual(seen.problems.filter((problem) => !expected?.test(problem)), [], "unexpected on the console")
    return note
  } finally {
    await seen.page.close()
  }
}

/** What a browser says on the console about what is missing or forbidden on purpose. */
const EXPECTED = {
  "plugins: a Content-Security-Policy": /Content.Security.Policy/,
  "plugins: what does not load": /404|Failed to load/,
  "plugins: what runs them": /404|Failed to load/,
}

const OUTSIDE = {
  async "the README's examples print what their comments say"(world) {
    const page = await tab(world)
    await page.evaluate(async () => (await navigator.storage.getDirectory()).removeEntry("lix-engine", { recursive: true }).catch(() => {}))
    for (const [index, code] of readmeExamples().entries()) {
      const printed = await page.evaluate(async (url) => {
        const lines = []
        console.log = (...values) => lines.push(values.map((value) => (typeof value === "object" ? JSON.stringify(value) : String(value))).join(" "))
        await import(url)
        return lines
      }, `/readme/${index}.js`)
      const plain = (text) => text.replaceAll(/["'\s]/g, "")
      const expected = [...code.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, comment]) => plain(comment))
      assert.ok(expected.length > 0)
      assert.deepEqual(printed.map(plain), expected)
    }
    await page.close()
    return `${readmeExamples().length} examples`
  },

  async "two tabs: busy at once, busy after a wait, and open when the first one goes"(world) {
    const [first, second] = [await tab(world), await tab(world)]
    const path = "tabs.db"
    await first.evaluate(async (path) => Object.assign(globalThis, await database.open({ path })), path)
    await first.evaluate(() => engine.exec("create table t as select 1 as a"))
    const attempt = (options) =>
      second.evaluate(async (options) => {
        const started = performance.now()
        const outcome = await database.open(options).then(
          async ({ engine }) => (await engine.exec("select a from t")).rows,
          ({ code, reason, subject, retryable, message }) => ({ code, reason, subject, retryable, message }),
        )
        return { outcome, ms: performance.now() - started }
      }, options)
    for (const busyWaitMs of [0, 400]) {
      const { outcome, ms } = await attempt({ path, busyWaitMs })
      assert.deepEqual({ ...outcome, message: "" }, { code: "STORAGE", reason: "STORAGE_BUSY", subject: path, retryable: true, message: "" })
      assert.match(outcome.message, /tabs\.db.*another tab/)
      assert.ok(ms >= busyWaitMs - 10, `after ${ms} ms`)
    }
    const waiting = attempt({ path, busyWaitMs: 30_000 })
    await moment(100)
    await first.close()
    assert.deepEqual((await waiting).outcome, [{ a: 1 }], "the tab was closed, the engine in it was not")
    await second.close()
  },

  async "a page reloaded at any moment under load opens its database again"(world) {
    const page = await tab(world, "?load=reload.db", "reload.db")
    for (let turn = 1; turn <= RELOADS; turn++) {
      await moment(80)
      await underLoad(world.ledger, "reload.db", () => page.reload())
    }
    await page.close()
    const { opened, stored, errors } = world.ledger.of("reload.db")
    assert.deepEqual([opened, errors], [RELOADS + 1, []])
    return `${RELOADS} reloads, ${stored} transactions known to be stored`
  },

  async "a renderer process killed at any moment under load"(world) {
    let page = await tab(world, "?load=kill.db", "kill.db")
    for (let turn = 1; turn <= RENDERER_KILLS; turn++) {
      await moment(80)
      const crashed = new Promise((resolve) => page.once("crash", resolve))
      killRenderers(world.profile)
      await bounded(crashed, 10_000, "the crash")
      await page.close()
      page = await tab(world, "?load=kill.db", "kill.db")
    }
    await page.close()
    const { opened, stored, errors } = world.ledger.of("kill.db")
    assert.deepEqual([opened, errors], [RENDERER_KILLS + 1, []])
    return `${RENDERER_KILLS} kills, ${stored} transactions known to be stored`
  },

  async "a page that is left does not block the next one, and comes back from the back/forward cache"(world) {
    const path = "bfcache.db"
    const entry = world.ledger.of(path)
    const page = await tab(world, `?load=${path}`, path)
    for (let turn = 1; turn <= BFCACHE_CYCLES; turn++) {
      await moment(50)
      const { restored, opened } = entry
      await page.goto(`${world.origin}/pages/blank.html`)
      await goBack(page)
      const { stored } = await world.ledger.until(path, (entry) => entry.restored > restored || entry.opened > opened, "the page to come back")
      // The page tells its server before the browser tells this program; a navigation in between would be taken for an interruption.
      await page.waitForURL(`**?load=${path}`, { waitUntil: "commit" })
      // Restored or loaded anew: it goes on writing, and what it writes is stored.
      await world.ledger.until(path, (entry) => entry.stored > stored + 1, "a save")
    }
    await page.close()
    assert.deepEqual([entry.errors, entry.closed], [[], []])
    return `${BFCACHE_CYCLES} cycles, ${entry.restored} of them restored from the cache; ${entry.stored} transactions known to be stored`
  },

  async "while a page is in the back/forward cache another one saves: the first one has lost its storage"(world) {
    // A page that has not let its path go by the time another one asks for it may be dropped from the cache instead.
    for (let turn = 1; turn <= 5; turn++) {
      const path = `overtaken/${turn}.db`
      const entry = world.ledger.of(path)
      const page = await tab(world, `?load=${path}`, path)
      await page.goto(`${world.origin}/pages/blank.html`)
      await (await tab(world, `?load=${path}`, path)).close()
      const { opened } = entry
      await goBack(page)
      await world.ledger.until(path, (entry) => entry.restored > 0 || entry.opened > opened, "the page to come back")
      if (entry.restored > 0) {
        await world.ledger.until(path, ({ closed }) => closed.length > 0, "the closed event")
        assert.deepEqual(entry.closed, ["STORAGE_LOST"])
      }
      await page.close()
      await (await tab(world, `?load=${path}`, path)).close()
      if (entry.restored > 0) return `restored from the cache at the ${turn}. try`
    }
    return "the browser kept none of five pages in its cache: nobody had anything to lose"
  },

  // The events are the test's: a browser freezes no page that a driver keeps visible.
  async "a page that is told to freeze lets its path go, and takes it again when it resumes"(world) {
    const page = await tab(world)
    await page.evaluate(async () => Object.assign(globalThis, await database.open({ path: "frozen.db" })))
    await page.evaluate(async () => {
      await engine.exec("create table t as select 1 as a")
      document.dispatchEvent(new Event("freeze"))
    })
    const other = await tab(world)
    const rows = await other.evaluate(async () => {
      const { engine } = await database.open({ path: "frozen.db", busyWaitMs: 5_000 })
      const { rows } = await engine.exec("select a from t")
      await engine.close()
      return rows
    })
    assert.deepEqual(rows, [{ a: 1 }], "what was not saved when the page froze")
    await other.close()
    const status = await page.evaluate(async () => {
      const before = engine.status().suspended
      document.dispatchEvent(new Event("resume"))
      await engine.exec("insert into t values (2)")
      await engine.save()
      return [before, engine.status().suspended, engine.status().unsaved]
    })
    assert.deepEqual(status, [true, false, false])
    await page.close()
  },

  // What a page asks for on its way out is often heard, and nobody promises it.
  async "a tab that is closed, left or reloaded with a commit that waits for its autosave mostly saves it"(world) {
    const judge = await tab(world)
    const kept = {}
    for (const [way, leave] of Object.entries({ closed: (page) => page.close(), left: (page) => page.goto("about:blank"), reloaded: (page) => page.reload() })) {
      kept[way] = 0
      for (let turn = 0; turn < WAYS_OUT; turn++) {
        const path = `${way}/${turn}.db`
        const page = await tab(world)
        await page.evaluate(async (path) => {
          const { engine } = await database.open({ path, autosave: { debounceMs: 600_000, maxDelayMs: 600_000 } })
          await engine.exec("create table t (a)")
        }, path)
        await leave(page)
        kept[way] += await judge.evaluate(async (path) => {
          const { engine } = await database.open({ path, openMode: "open", busyWaitMs: 5_000 })
          const { rows } = await engine.exec("select count(*) as n from sqlite_schema")
          await engine.close()
          return rows[0].n
        }, path)
        await page.close()
      }
    }
    await judge.close()
    const saved = kept.closed + kept.left + kept.reloaded
    assert.ok(saved > WAYS_OUT, `only ${saved} of ${3 * WAYS_OUT} were saved`)
    return Object.entries(kept).map(([way, count]) => `${way}: ${count} of ${WAYS_OUT}`).join(", ")
  },

  async "a full disk: the engine goes on in memory, says so, and saves when there is room"(world) {
    const page = await tab(world)
    const session = await world.context.newCDPSession(page)
    const { origin } = world
    await page.evaluate(async () => Object.assign(globalThis, await database.open({ path: "full.db", autosave: { debounceMs: 10 } })))
    await page.evaluate(() => engine.exec("create table t (a)").then(() => engine.save()))
    const { usage } = await page.evaluate(() => database.opfs.estimate())
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: usage + 200_000 })
    const full = await page.evaluate(async () => {
      const failed = new Promise((resolve) => engine.on("autosave", ({ phase, error }) => phase === "failed" && resolve({ code: error.code, reason: error.reason })))
      await engine.exec("insert into t values (randomblob(3000000))")
      const event = await failed
      const { rows } = await engine.exec("select length(a) as n from t")
      const { unsaved, lastSaveError } = engine.status()
      return { event, rows, unsaved, reason: lastSaveError?.reason, save: await engine.save().catch(({ reason }) => reason) }
    })
    assert.deepEqual(full, { event: { code: "STORAGE", reason: "STORAGE_QUOTA" }, rows: [{ n: 3_000_000 }], unsaved: true, reason: "STORAGE_QUOTA", save: "STORAGE_QUOTA" })
    await session.send("Storage.overrideQuotaForOrigin", { origin })
    await page.evaluate(() => engine.save())
    const after = await page.evaluate(async () => {
      const { unsaved, lastSaveError } = engine.status()
      await engine.close()
      const again = (await database.open({ path: "full.db" })).engine
      const { rows } = await again.exec("select length(a) as n from t")
      await again.close()
      return { unsaved, error: lastSaveError?.reason, rows }
    })
    assert.deepEqual(after, { unsaved: false, error: undefined, rows: [{ n: 3_000_000 }] })
    await page.close()
  },

  async "an insecure origin has no OPFS: a typed error, or memory if that was asked for"(world) {
    const page = await world.context.newPage()
    await page.goto(world.url.replace("127.0.0.1", INSECURE))
    const outcome = await page.evaluate(async () => {
      const opening = database.open({ path: "x.db" }).then(() => "opened", ({ code, reason, subject, message }) => ({ code, reason, subject, message }))
      const listing = database.opfs.list().then(() => "listed", ({ reason }) => reason)
      const { engine } = await database.open({ path: "x.db", storage: "auto" })
      const { storage } = engine.status()
      await engine.close()
      return { secure: isSecureContext, opening: await opening, listing: await listing, storage }
    })
    const { message, ...opening } = outcome.opening
    assert.deepEqual({ ...outcome, opening }, { secure: false, opening: { code: "STORAGE", reason: "STORAGE_UNSUPPORTED", subject: "OPFS" }, listing: "STORAGE_UNSUPPORTED", storage: "memory" })
    assert.match(message, /secure context/)
    await page.close()
  },

  async "a private window: a database that stays as long as the window"(world) {
    const browser = await launch()
    try {
      const page = await (await browser.newContext()).newPage()
      await page.goto(world.url)
      const rows = await page.evaluate(async () => {
        const { engine } = await database.open({ path: "private.db" })
        await engine.exec("create table t as select 1 as a")
        await engine.close()
        const again = (await database.open({ path: "private.db", openMode: "open" })).engine
        const { rows } = await again.exec("select a from t")
        await again.close()
        return rows
      })
      assert.deepEqual(rows, [{ a: 1 }])
    } finally {
      await browser.close()
    }
  },
}

/** The examples that need OPFS; the others run in Node. */
function readmeExamples() {
  const readme = readFileSync(join(here, "../../README.md"), "utf8")
  const found = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code).filter((code) => code.includes("createWorkerOpfsEngine"))
  assert.ok(found.length >= 2, "no examples")
  return found
}

function readmeExample(path, response) {
  const index = /^\/readme\/(\d+)\.js$/.exec(path)?.[1]
  if (index === undefined) return false
  const { code } = transformSync(readmeExamples()[index].replaceAll('"lix-engine"', '"/package/standalone.js"'), { loader: "ts", format: "esm" })
  response.writeHead(200, { "content-type": "text/javascript" }).end(code)
  return true
}

/** Without waiting for `load`, which a page from the back/forward cache does not fire again. */
async function goBack(page) {
  await page.evaluate(() => history.back()).catch(() => {})
}

async function tab({ context, url, ledger }, query = "", path = undefined) {
  const page = await context.newPage()
  const open = () => page.goto(`${url}${query}`)
  if (path) await underLoad(ledger, path, open)
  else await open()
  return page
}

const here = dirname(fileURLToPath(import.meta.url))
const INSECURE = "insecure.test"
const RELOADS = 50
const RENDERER_KILLS = 10
const BFCACHE_CYCLES = 20
const WAYS_OUT = 5
const CHECK_MS = 115_000

await main()
