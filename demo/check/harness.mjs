// A real Chromium with a profile on disk, a static host that sends no special headers, and what
// every check of a page needs. Nothing sleeps: every wait is for something on the page and has an end.
import assert from "node:assert/strict"
import { createReadStream, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs"
import { createServer } from "node:http"
import { availableParallelism, loadavg, tmpdir } from "node:os"
import { extname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

/** Runs the checks of a page, one after the other, in a browser of their own. */
export async function run({ name, start, checks }, only) {
  if (!existsSync(join(dist, "index.html"))) throw new Error("demo/dist is missing; run `npm run build` in demo first")
  mkdirSync(shots, { recursive: true })
  const { server, origin } = await serve(dist)
  // A profile on disk: what is kept is kept the way a visitor's browser does it.
  const profile = mkdtempSync(join(tmpdir(), "lix-demo-"))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...FLAGS, `--host-resolver-rules=MAP ${PLAIN_HOST} 127.0.0.1`],
    viewport: { width: 1600, height: 1000 },
    colorScheme: "light",
    reducedMotion: "no-preference",
  })
  context.setDefaultTimeout(BOUND.timeout)
  let passed = 0
  let failed = 0
  try {
    const world = { context, origin, page: undefined, requests: [], responses: [], problems: [] }
    await start(world)
    for (const [title, check] of Object.entries(checks)) {
      try {
        await check(world)
        passed += 1
        console.log(`ok     ${title}`)
      } catch (error) {
        failed += 1
        console.log(`FAILED ${title}\n${String(error.stack ?? error).replace(/^/gm, "       ")}`)
        await shoot(world.page, `failed-${name}-${failed}`).catch(() => {})
      }
      if (title === only) break
    }
  } finally {
    await context.close()
    server.close()
    server.closeAllConnections()
    rmSync(profile, { recursive: true, force: true })
  }
  console.log(`demo, ${name}: ${passed} passed, ${failed} failed`)
  return failed
}

/** A tab in the same browser, whose requests and complaints are seen. */
export async function newPage(world) {
  const page = await world.context.newPage()
  page.on("request", (request) => world.requests.push(request.url()))
  page.on("response", (response) => {
    world.responses.push(response)
    if (response.status() >= 400) world.problems.push(`${response.status()} ${response.url()}`)
  })
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && world.problems.push(message.text()))
  page.on("pageerror", (error) => world.problems.push(String(error)))
  // A witness of our own, beside the page's probe.
  await page.addInitScript(() => {
    window.longTasks = []
    new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((entry) => entry.duration))).observe({ type: "longtask" })
  })
  return page
}


export async function longestTaskCpuMs(browser, page, work) {
  await browser.startTracing(page, { categories: ["toplevel"] })
  await work()
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString())
  const mainThreads = new Set(traceEvents.filter((event) => event.name === "thread_name" && event.args.name === "CrRendererMain").map((event) => `${event.pid}/${event.tid}`))
  const tasks = traceEvents.filter((event) => event.ph === "X" && event.tdur !== undefined && mainThreads.has(`${event.pid}/${event.tid}`))
  assert.ok(tasks.length > 100, `the trace has ${tasks.length} tasks of the main thread`)
  return Math.round(Math.max(...tasks.map((task) => task.tdur)) / 100) / 10
}

export function machineLoad() {
  return `load ${loadavg()[0].toFixed(1)} on ${availableParallelism()} cores`
}

export async function text(page, selector) {
  return (await page.textContent(selector, BOUND)).trim()
}

export async function shoot(page, name, options = {}) {
  await page.evaluate(() => document.fonts.ready)
  await page.screenshot({ path: join(shots, `${name}.png`), ...options })
}

// ── A static host with no special headers ──────────────────────────────────

async function serve(root) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname))
    const file = join(root, path.endsWith("/") ? `${path}index.html` : path)
    if (!file.startsWith(root) || !existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end()
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" })
    createReadStream(file).pipe(response)
  })
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve))
  return { server, origin: `http://127.0.0.1:${server.address().port}/` }
}

const here = fileURLToPath(new URL("..", import.meta.url))
const dist = join(here, "dist")
/** Pictures of every step, kept by CI. */
export const shots = join(here, "../target/demo")
/** Also renew the pictures of the documentation. */
export const docs = process.argv.includes("--docs")
/** The longest that a page may be deaf. */
export const LIMIT_MS = 50
/** A name for this machine that browsers do not trust. */
export const PLAIN_HOST = "demo.test"
export const BOUND = { timeout: 60_000 }
const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(" ")
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".wasm": "application/wasm",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
}
