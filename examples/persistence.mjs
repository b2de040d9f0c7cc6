// Runs the examples of docs/persistence.md in a real Chromium, each in a page of its own, and
// compares what they print with what their comments say.
//
//   node examples/persistence.mjs     after `cargo xtask build-ts`; CHROMIUM=path picks the browser
import assert from "node:assert/strict"
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join, normalize } from "node:path"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"
import { transformSync } from "esbuild"
import { chromium } from "playwright-core"

async function main() {
  const examples = examplesOf(readFileSync(join(root, DOCUMENT), "utf8"))
  assert.ok(examples.length >= 8, `${DOCUMENT} has ${examples.length} examples`)
  const { server, origin } = await serve(examples)
  const profile = mkdtempSync(join(tmpdir(), "lix-examples-"))
  const context = await chromium.launchPersistentContext(profile, { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS })
  let failed = 0
  try {
    for (const [index, { heading, code }] of examples.entries()) {
      try {
        const expected = [...code.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, comment]) => comment)
        assert.ok(expected.length > 0, "the example prints nothing")
        assert.equal(plain((await run(context, `${origin}/${index}.html`)).join("")), plain(expected.join("")))
        console.log(`ok     ${DOCUMENT}: ${heading}`)
      } catch (error) {
        failed += 1
        console.log(`FAILED ${DOCUMENT}: ${heading}\n${inspect(error).replace(/^/gm, "       ")}`)
      }
    }
  } finally {
    await context.close()
    server.close()
    server.closeAllConnections()
    rmSync(profile, { recursive: true, force: true })
  }
  process.exitCode = failed === 0 ? 0 : 1
}

/** The document's TypeScript, with the heading above it. */
function examplesOf(document) {
  let heading = ""
  const found = []
  for (const [, title, code] of document.matchAll(/^##? ([^\n]*)$|^```ts\n(.*?)^```$/gms)) {
    if (title) heading = title
    if (code) found.push({ heading, code })
  }
  return found
}

/** What the page printed, once its module has run to the end. */
async function run(context, url) {
  const page = await context.newPage()
  try {
    const browser = await context.newCDPSession(page)
    await browser.send("Storage.clearDataForOrigin", { origin: new URL(url).origin, storageTypes: "all" })
    const printed = []
    const ended = new Promise((resolve, reject) => {
      page.on("pageerror", reject)
      page.on("console", async (message) => {
        if (message.type() === "error") return reject(new Error(message.text()))
        // In order, although each has to be fetched.
        printed.push(Promise.all(message.args().map((arg) => arg.jsonValue())))
        if (message.text() === END) resolve()
      })
      setTimeout(reject, PATIENCE_MS, new Error(`no end after ${PATIENCE_MS} ms`)).unref()
    })
    await page.goto(url)
    await ended
    const lines = await Promise.all(printed)
    return lines.slice(0, -1).map((values) => values.map((value) => (typeof value === "string" ? value : inspect(value))).join(" "))
  } finally {
    await page.close()
  }
}

/** The package as it is built, and a page and a module per example. No special headers. */
async function serve(examples) {
  const modules = examples.map(({ code }) => {
    const { code: script } = transformSync(code, { loader: "ts", format: "esm", target: "es2022" })
    return `${script.replaceAll('from "lix-engine"', 'from "/dist/standalone.js"')}\nconsole.log(${JSON.stringify(END)})\n`
  })
  const dist = join(root, "bindings/ts/dist")
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname)
    const [, number, kind] = /^\/(\d+)\.(html|js)$/.exec(path) ?? []
    const file = join(dist, path.replace(/^\/dist\//, ""))
    if (kind === "html") response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><link rel="icon" href="data:,"><script type="module" src="/${number}.js"></script>`)
    else if (kind === "js") response.writeHead(200, { "content-type": TYPES.js }).end(modules[number])
    else if (path.startsWith("/dist/") && existsSync(file)) createReadStream(file).pipe(response.writeHead(200, { "content-type": TYPES[path.split(".").at(-1)] }))
    else response.writeHead(404).end()
  })
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve))
  return { server, origin: `http://127.0.0.1:${server.address().port}` }
}

/** Neither quotes nor spacing matter. */
function plain(text) {
  return text.replaceAll(/["'\s]/g, "")
}

const root = fileURLToPath(new URL("..", import.meta.url))
const DOCUMENT = "docs/persistence.md"
const END = "the example has run to its end"
const PATIENCE_MS = 60_000
const TYPES = { js: "text/javascript", wasm: "application/wasm" }
const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(" ")

await main()
