/**
 * Reloads, the back/forward cache, killed workers and killed renderer processes, as many as asked
 * for, at random moments under write load, in a real Chromium on a profile on disk. After each one
 * the database has to open, whole, with everything that was known to be stored.
 *
 *   node test/browser/soak.mjs [--cycles 200] [--seed 1] [--dist directory]
 *
 * The seed decides what happens when; how far the page has come by then is the machine's affair.
 */

import assert from "node:assert/strict"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { bounded, launchWithProfile, serve } from "./harness.mjs"
import { killRenderers, Ledger, underLoad } from "./load.mjs"
import { bundle } from "./site.mjs"

async function main() {
  const { values } = parseArgs({ options: { cycles: { type: "string", default: "200" }, seed: { type: "string", default: "1" }, dist: { type: "string" } } })
  const cycles = Number(values.cycles)
  const seed = Number(values.seed)
  assert.ok(Number.isInteger(cycles) && cycles > 0 && Number.isInteger(seed), "--cycles and --seed are whole numbers")
  const dist = values.dist ? resolve(values.dist) : join(here, "../../dist")
  assert.ok(existsSync(join(dist, "worker.js")), "the package is not built: npm run build -w lix-engine")
  const cleanups = []
  try {
    const ledger = new Ledger()
    const site = await serve({ "/pages/opfs.js": join(await bundle("opfs.ts", cleanups), "opfs.js"), "/pages/": join(here, "pages"), "/package/": dist }, ledger.answer)
    cleanups.unshift(site.close)
    const profile = mkdtempSync(join(tmpdir(), "lix-engine-soak-"))
    cleanups.push(() => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }))
    const context = await launchWithProfile(profile)
    cleanups.unshift(() => context.close())
    await soak(new Soak({ ...site, url: `${site.origin}/pages/opfs.html`, context, ledger, profile }, random(seed)), cycles)
  } finally {
    for (const cleanup of cleanups) await cleanup()
  }
}

async function soak(world, cycles) {
  const started = performance.now()
  const failures = []
  for (let cycle = 1; cycle <= cycles; cycle++) {
    const kind = world.pick()
    try {
      await world.cycle(kind)
    } catch (error) {
      failures.push(`cycle ${cycle}, ${kind}: ${String(error?.message ?? error).split("\n")[0]}`)
      console.log(`FAILED ${failures.at(-1)}`)
      await world.renew()
    }
    if (cycle % 50 === 0 || cycle === cycles) console.log(`${cycle} of ${cycles} cycles, ${Math.round((performance.now() - started) / 1000)} s, ${failures.length} failed opens`)
  }
  const { counts, restored, stored } = await world.end()
  console.log(Object.entries(counts).map(([kind, count]) => `${count} × ${kind}`).join(", "))
  console.log(`${restored} pages restored from the back/forward cache; ${stored} transactions known to be stored, all found again`)
  console.log(`${cycles - failures.length} passed, ${failures.length} failed`)
  process.exitCode = failures.length === 0 ? 0 : 1
}

class Soak {
  counts = {}
  #world
  #random
  #page
  #path
  #generation = 0
  #left = 0
  #restored = 0
  #stored = 0

  constructor(world, random) {
    this.#world = world
    this.#random = random
  }

  pick() {
    const kinds = Object.keys(WEIGHTS)
    let at = this.#random() * kinds.reduce((sum, kind) => sum + WEIGHTS[kind], 0)
    return kinds.find((kind) => (at -= WEIGHTS[kind]) < 0)
  }

  /** Something happens to a page that writes, and after it the database opens and is written again. */
  async cycle(kind) {
    const { ledger, url, origin, profile } = this.#world
    if (this.#left-- === 0) await this.renew()
    const page = this.#page
    const path = this.#path
    await new Promise((resolve) => setTimeout(resolve, this.#random() * 60))
    switch (kind) {
      case "reload":
        await underLoad(ledger, path, () => page.reload())
        break
      case "away and back": {
        const { restored, opened } = ledger.of(path)
        await page.goto(`${origin}/pages/blank.html`)
        await page.evaluate(() => history.back()).catch(() => {})
        const { stored } = await ledger.until(path, (entry) => entry.restored > restored || entry.opened > opened, "the page to come back")
        await ledger.until(path, (entry) => entry.stored > stored + 1, "a save after the page came back")
        break
      }
      case "killed worker":
        await underLoad(ledger, path, () => page.evaluate((path) => (engine.terminate(), void database.load(path)), path))
        break
      case "killed renderer": {
        const crashed = new Promise((resolve) => page.once("crash", resolve))
        killRenderers(profile)
        await bounded(crashed, 10_000, "the crash")
        await page.close()
        this.#page = await this.#world.context.newPage()
        await underLoad(ledger, path, () => this.#page.goto(`${url}?load=${path}`))
        break
      }
    }
    this.counts[kind] = (this.counts[kind] ?? 0) + 1
  }

  /** Another database in another tab: none grows without end. The old one is judged once more and deleted. */
  async renew() {
    const { context, ledger, url } = this.#world
    await this.end()
    this.#path = `soak/${++this.#generation}.db`
    this.#left = CYCLES_PER_DATABASE
    this.#page = await context.newPage()
    await underLoad(ledger, this.#path, () => this.#page.goto(`${url}?load=${this.#path}`))
  }

  async end() {
    if (this.#page) {
      const { context, ledger, url } = this.#world
      const { restored, stored } = ledger.of(this.#path)
      this.#restored += restored
      this.#stored += stored
      await this.#page.close()
      this.#page = await context.newPage()
      await this.#page.goto(url)
      await this.#page.evaluate(
        async ({ path, stored }) => {
          const { engine } = await database.open({ path, busyWaitMs: 5_000 })
          await database.judge(engine, stored)
          await engine.close()
          await database.opfs.delete(path)
        },
        { path: this.#path, stored },
      )
      await this.#page.close()
      this.#page = undefined
    }
    return { counts: this.counts, restored: this.#restored, stored: this.#stored }
  }
}

/** mulberry32 */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const here = dirname(fileURLToPath(import.meta.url))
const WEIGHTS = { reload: 4, "away and back": 4, "killed worker": 4, "killed renderer": 2 }
const CYCLES_PER_DATABASE = 25

await main()
