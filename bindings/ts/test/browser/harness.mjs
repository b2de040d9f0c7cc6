/**
 * What the tests in a real browser share: checks that report one by one, a static host that sends
 * no special headers, and a Chromium that talks to nobody else and ends with the test.
 */

import { createReadStream, existsSync, statSync } from "node:fs"
import { createServer } from "node:http"
import { extname, join, normalize, sep } from "node:path"
import { chromium } from "playwright-core"

/** Runs checks one after the other; each failure is printed, none ends the run. */
export class Checks {
  passed = 0
  failed = 0

  async check(name, run) {
    const started = performance.now()
    const took = () => `${Math.round(performance.now() - started)} ms`
    try {
      const note = await bounded(run(), CHECK_MS, name)
      this.passed++
      console.log(`ok     ${name}  (${took()}${note && typeof note === "string" && !note.includes("\n") ? `; ${note}` : ""})`)
    } catch (error) {
      this.failed++
      console.log(`FAILED ${name}  (${took()})\n${String(error?.stack ?? error).replace(/^/gm, "       ")}`)
    }
  }

  /** The closing line and the exit code. A run without checks has shown nothing. */
  finish() {
    console.log(`${this.passed} passed, ${this.failed} failed`)
    process.exitCode = this.passed > 0 && this.failed === 0 ? 0 : 1
  }
}

/** The promise, or an error that says what was waited for. */
export function bounded(promise, ms, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/**
 * Serves directories on loopback, each under its own prefix. No COOP, no COEP, no CORS: what works
 * here works on any static host. `answer` may take over a request by returning true.
 */
export async function serve(mounts, answer = () => false) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname))
    if (answer(path, response, request)) return
    const [prefix, root] = Object.entries(mounts).find(([prefix]) => path.startsWith(prefix)) ?? []
    const file = root && join(root, path.slice(prefix.length), path.endsWith("/") ? "index.html" : "").replace(/[/\\]$/, "")
    const isOurs = file === root || file?.startsWith(root + sep)
    if (!isOurs || !existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end()
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "cache-control": "no-cache" })
    createReadStream(file).pipe(response)
  })
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve))
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { origin: `http://127.0.0.1:${server.address().port}`, close }
}

/** Chromium with a profile of its own. Playwright ends it with this process, whatever ends that. */
export function launch(flags = []) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...FLAGS, ...flags],
  })
}

/**
 * Chromium with a profile on disk, as people have one: files survive the browser, and pages go into
 * the back/forward cache, which automation else switches off.
 */
export function launchWithProfile(profile, flags = []) {
  return chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...FLAGS, ...flags],
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  })
}

/**
 * A page, what it asked for and what went wrong on it. `workers` are all it ever started;
 * `problems` are errors on the console, uncaught errors and failed requests.
 */
export async function watchedPage(context) {
  const page = await context.newPage()
  const seen = { page, workers: [], requests: [], responses: [], problems: [] }
  page.on("worker", (worker) => seen.workers.push(worker))
  page.on("request", (request) => seen.requests.push(request.url()))
  page.on("response", (response) => {
    seen.responses.push(response)
    if (response.status() >= 400) seen.problems.push(`${response.status()} ${response.url()}`)
  })
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") seen.problems.push(`console: ${message.text()}`)
  })
  page.on("pageerror", (error) => seen.problems.push(`uncaught: ${error.stack ?? error}`))
  return seen
}

/** What a page does has an end. */
const CHECK_MS = 120_000

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync",
]

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
}
