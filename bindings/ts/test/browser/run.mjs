/**
 * The built package in a real Chromium: Kysely over the worker engine, and how the host behaves
 * when workers, wasm and messages do not.
 *
 * Each check starts on a page just loaded, and after it no worker may be left and nothing
 * unexpected may have been on the console. The server sends neither COOP nor COEP.
 *
 *   node test/browser/run.mjs [--dist directory] [part of a name …]      CHROMIUM=path picks the browser
 */

import assert from "node:assert/strict"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { bounded, Checks, launch, serve, watchedPage } from "./harness.mjs"
import { bundle } from "./site.mjs"

async function main() {
  const { values, positionals: wanted } = parseArgs({ options: { dist: { type: "string" } }, allowPositionals: true })
  const dist = values.dist ? resolve(values.dist) : join(here, "../../dist")
  assert.ok(existsSync(join(dist, "worker.js")), "the package is not built: npm run build -w lix-engine")
  const suite = new Checks()
  const cleanups = []
  try {
    const { origin, close } = await serve(mounts(dist, await bundle("checks.ts", cleanups)), (path, response) => odd(dist, path, response))
    cleanups.unshift(close)
    const browser = await launch()
    cleanups.unshift(() => browser.close())
    const context = await browser.newContext()
    const url = `${origin}/pages/page.html`
    const pages = new Pages(context)
    const names = (await namesOf(context, url)).filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
    for (const name of names) await suite.check(name, () => checkOnPage(pages, url, name))
  } finally {
    for (const cleanup of cleanups) await cleanup()
  }
  suite.finish()
}

async function namesOf(context, url) {
  const seen = await watchedPage(context)
  await seen.page.goto(url)
  assert.deepEqual(seen.problems, [])
  const names = await bounded(seen.page.evaluate(() => Object.keys(globalThis.checks)), LOAD_MS, "the page of the checks")
  await seen.page.close()
  for (const part of ["Kysely: ", "one exec is one message"]) assert.ok(names.some((name) => name.startsWith(part)), `no check ${part}`)
  return names
}

async function checkOnPage(pages, url, name) {
  const seen = await pages.next()
  try {
    await seen.page.goto(url)
    assert.equal(await seen.page.evaluate(() => crossOriginIsolated), false)
    const note = await bounded(seen.page.evaluate((name) => globalThis.checks[name](), name), CHECK_MS, name)
    const left = seen.page.workers().map((worker) => worker.waitForEvent("close"))
    await bounded(Promise.all(left), LOAD_MS, "the end of a worker")
    const expected = EXPECTED[Object.keys(EXPECTED).find((start) => name.startsWith(start))]
    assert.deepEqual(seen.problems.filter((problem) => !expected?.test(problem)), [], "unexpected on the console")
    pages.giveBack(seen)
    return note
  } catch (error) {
    if (seen.problems.length > 0) error.stack += `\non the page: ${seen.problems.join("\n             ")}`
    await seen.page.close()
    throw error
  }
}

/** One page for one check after the other, loaded anew for each; another one after a failure. */
class Pages {
  #context
  #idle

  constructor(context) {
    this.#context = context
  }

  async next() {
    const seen = this.#idle ?? (await watchedPage(this.#context))
    this.#idle = undefined
    return seen
  }

  giveBack(seen) {
    seen.problems.length = 0
    this.#idle = seen
  }
}

// ── What is served ─────────────────────────────────────────────────────────

function mounts(dist, bundled) {
  const variants = ["package", "no-worker", "html-worker", "broken-worker", "no-wasm", "html-wasm", "cut-wasm", "csp-wasm", "plain-wasm", "small-memory"]
  return {
    "/pages/checks.js": join(bundled, "checks.js"),
    "/pages/": join(here, "pages"),
    "/kysely/": join(here, "../../../../node_modules/kysely/dist"),
    ...Object.fromEntries(variants.map((variant) => [`/${variant}/`, dist])),
  }
}

/** What the server does on purpose under some addresses. */
function odd(dist, path, response) {
  const answer = (status, type, body, headers = {}) => {
    response.writeHead(status, { "content-type": type, "cache-control": "no-store", ...headers }).end(body)
    return true
  }
  const wasm = () => readFileSync(join(dist, "wasm/lix_engine.wasm"))
  switch (path) {
    case "/no-worker/worker.js":
    case "/no-wasm/wasm/lix_engine.wasm":
      return answer(404, "text/plain", "not here")
    // What a single-page application's host says instead of 404.
    case "/html-worker/worker.js":
    case "/html-wasm/wasm/lix_engine.wasm":
      return answer(200, "text/html", "<!doctype html><title>Home</title>")
    case "/broken-worker/worker.js":
      return answer(200, "text/javascript", "import { is not a module }")
    case "/cut-wasm/wasm/lix_engine.wasm":
      return answer(200, "application/wasm", wasm().subarray(0, 200_000))
    case "/csp-wasm/worker.js":
      return answer(200, "text/javascript", readFileSync(join(dist, "worker.js")), { "content-security-policy": "default-src 'self'" })
    case "/plain-wasm/wasm/lix_engine.wasm":
      return answer(200, "application/octet-stream", wasm())
    case "/small-memory/wasm/lix_engine.wasm":
      return answer(200, "application/wasm", withMemoryLimit(wasm(), SMALL_MEMORY_PAGES))
    default:
      return false
  }
}

/** The same module with a memory that cannot grow beyond so many pages of 64 KiB. */
function withMemoryLimit(wasm, pages) {
  let at = 8
  const leb = () => {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = wasm[at++]
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const encoded = (value) => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...encoded(value >>> 7)])
  const MEMORY = 5
  for (;;) {
    const start = at
    const id = wasm[at++]
    const size = leb()
    const end = at + size
    if (id !== MEMORY) {
      at = end
      continue
    }
    const [count, flags] = [leb(), wasm[at++]]
    assert.deepEqual([count, flags], [1, 0], "one memory without a limit")
    const body = [1, 1, ...encoded(leb()), ...encoded(pages)]
    return Buffer.concat([wasm.subarray(0, start), Buffer.from([MEMORY, ...encoded(body.length), ...body]), wasm.subarray(end)])
  }
}

/** What a browser says on the console when things are missing or broken on purpose. */
const EXPECTED = {
  "a worker script": /404|Failed to load|MIME type|SyntaxError|Unexpected/,
  "a wasm that is": /404|Failed to load/,
  "a Content-Security-Policy": /Content.Security.Policy|unsafe-eval/i,
  "a worker that throws": /a mistake outside of every call/,
  "a trap": /lix-engine: |memory allocation/,
  "a database that outgrows": /lix-engine: |memory allocation/,
}

const here = dirname(fileURLToPath(import.meta.url))
const SMALL_MEMORY_PAGES = 512
const LOAD_MS = 10_000
const CHECK_MS = 110_000

await main()
