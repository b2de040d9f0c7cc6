/**
 * Chromium with a profile of its own, and a server on loopback that sends no COOP or COEP header, as
 * most hosts do.
 */

import { cpSync, createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { extname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

/**
 * Starts both; `/` is the benchmark's own folder `page`, and `folders` are further ones by prefix. `dist`
 * is a build of bindings/ts other than the one in the tree.
 */
export async function startBrowser({ page: folder, folders = {}, dist = fromRoot("bindings/ts/dist") }) {
  const work = mkdtempSync(join(tmpdir(), "lix-bench-"))
  // Also when a run is given up, since there may be gigabytes in it.
  const tidy = () => rmSync(work, { recursive: true, force: true, maxRetries: 5 })
  process.once("exit", tidy)
  // A copy, so that a build meanwhile does not change what is measured.
  const built = join(work, "lix")
  cpSync(dist, built, { recursive: true })
  const server = await serve({ "/lix/": built, "/sqlite-wasm/": fromRoot("node_modules/@sqlite.org/sqlite-wasm/dist"), "/shared/": fromHere("page"), ...folders, "/": folder })
  // A profile on disk, because only that has caches and files like a visitor's.
  const context = await chromium.launchPersistentContext(join(work, "profile"), {
    executablePath: chromiumPath(),
    headless: true,
    args: ARGS,
  })
  const processes = await context.browser().newBrowserCDPSession()

  return {
    version: context.browser().version(),
    requests: () => [...server.requests],

    /** A new page, ready to measure. */
    async page() {
      const page = await context.newPage()
      const problems = []
      page.on("pageerror", (error) => problems.push(error.message))
      await page.goto(server.url)
      await page.waitForFunction("globalThis.bench !== undefined").catch((error) => {
        throw new Error(problems.join("\n") || error.message)
      })
      if (await page.evaluate("crossOriginIsolated")) throw new Error("the page is cross-origin isolated; most pages are not")
      return {
        bench: (workload, who, options) => page.evaluate(([...args]) => globalThis.bench(...args), [workload, who, options]),
        collectGarbage: () => page.evaluate("gc()"),
        /** Runs a function, without what surrounds it, in every worker of the page; answers what they answer. */
        inWorkers: (run) => Promise.all(page.workers().map((worker) => worker.evaluate(run))),
        close: () => page.close(),
        evaluate: (expression) => page.evaluate(expression),
      }
    },

    /** Watches the resident memory of a page's process, workers included, from now on. */
    async memoryOf(page) {
      const id = await processOf(page)
      await page.evaluate("gc()")
      writeFileSync(`/proc/${id}/clear_refs`, "5")
      const before = statusBytes(id, "VmRSS")
      return { peak: () => statusBytes(id, "VmHWM") - before, now: () => statusBytes(id, "VmRSS") - before }
    },

    async close() {
      await context.close()
      server.close()
      tidy()
    },
  }

  /** The one that works when the page does. */
  async function processOf(page) {
    const times = async () => {
      const { processInfo } = await processes.send("SystemInfo.getProcessInfo")
      return new Map(processInfo.filter(({ type }) => type === "renderer").map(({ id, cpuTime }) => [id, cpuTime]))
    }
    const before = await times()
    await page.bench("knownBlock", "nobody", { ms: 300 })
    const after = await times()
    const worked = [...after].map(([id, time]) => ({ id, time: time - (before.get(id) ?? 0) })).sort((a, b) => b.time - a.time)
    return worked[0].id
  }
}

async function serve(folders) {
  const requests = []
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname)
    const prefix = Object.keys(folders).find((prefix) => path.startsWith(prefix))
    const file = join(folders[prefix], path.slice(prefix.length) || "index.html")
    requests.push(path)
    if (!existsSync(file)) return response.writeHead(404).end()
    const type = TYPES[extname(file)] ?? "application/octet-stream"
    response.writeHead(200, { "content-type": type, "cache-control": type === TYPES[".html"] ? "no-store" : "max-age=3600" })
    createReadStream(file).pipe(response)
  })
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  return { url: `http://127.0.0.1:${server.address().port}/`, requests, close: () => server.close() }
}

function chromiumPath() {
  const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => path && existsSync(path))
  if (!found) throw new Error("no Chromium found; name one in CHROMIUM")
  return found
}

function statusBytes(id, field) {
  const [, kilobytes] = readFileSync(`/proc/${id}/status`, "utf8").match(new RegExp(`^${field}:\\s+(\\d+) kB`, "m"))
  return Number(kilobytes) * 1024
}

function fromHere(path) {
  return fileURLToPath(new URL(path, import.meta.url))
}

function fromRoot(path) {
  return fromHere(join("../..", path))
}

const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  // gc() between repetitions.
  "--js-flags=--expose-gc",
]
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" }
