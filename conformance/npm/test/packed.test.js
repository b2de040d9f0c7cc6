/**
 * The package as packed and installed into an empty folder, with the real runner and a real browser.
 *
 * Needs the runner (target/debug/conformance, or LIX_CONFORMANCE_BIN) and the built package bindings/ts/dist.
 */

import assert from "node:assert/strict"
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { basename, delimiter, dirname, join } from "node:path"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const here = fileURLToPath(new URL("..", import.meta.url))
const repository = join(here, "../..")
const target = process.env.CARGO_TARGET_DIR ?? join(repository, "target")
const RUNNER = process.env.LIX_CONFORMANCE_BIN ?? join(target, "debug/conformance")
const DIST = join(repository, "bindings/ts/dist")
const BROWSER = process.env.CHROMIUM ?? ["chromium", "google-chrome", "chromium-browser"].flatMap(onPath)[0]

let folder
before(async () => {
  for (const [built, how] of [[RUNNER, "cargo build -p lix-engine-conformance"], [join(DIST, "worker.js"), "cargo xtask build-ts"]]) {
    assert.ok(existsSync(built), `${built} is not there; first: ${how}`)
  }
  folder = realpathSync(mkdtempSync(join(tmpdir(), "conformance-npx-")))
  const npm = (...args) => promisify(execFile)("npm", args, { cwd: folder })
  const { stdout } = await npm("pack", "--silent", "--pack-destination", folder, here)
  writeFileSync(join(folder, "package.json"), '{ "private": true }')
  await npm("install", "--silent", "--offline", "--no-audit", "--no-fund", `./${stdout.trim()}`)
  symlinkSync(DIST, join(folder, "dist"))
})
after(() => rmSync(folder, { recursive: true, force: true }))

describe("the command", () => {
  it("is all that the package has", () => {
    const files = readdirSync(join(folder, "node_modules/lix-engine-conformance")).sort()
    assert.deepEqual(files, ["README.md", "browser.js", "cli.js", "package.json", "runner.js"])
  })

  it("says what it can do", async () => {
    const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"))
    assert.deepEqual(await run(["--version"]), { status: 0, out: `${version}\n`, err: "" })
    const { status, out } = await run(["--help"])
    assert.equal(status, 0)
    assert.match(out, /--worker FILE/)
  })

  it("refuses what it cannot make sense of", async () => {
    for (const [args, expected] of [
      [[], /--worker FILE/],
      [["--worker"], /--worker needs a value/],
      [["--worker", "a.js", "--worker=b.js"], /twice/],
      [["--worker", "a.js", "--package", "dist"], /exclude each other/],
      [["--worker", "dist/worker.js", "--impl", "x"], /use one of them/],
      [["--worker", "absent.js"], /absent\.js does not exist/],
      [["--package", "node_modules"], /node_modules\/worker\.js does not exist/],
      [["--worker", "dist"], /dist is a folder/],
      [["--profile", "core"], /which engine\?/],
      [["--worker", "dist/worker.js", "--no-such-option"], /unknown option --no-such-option/],
      [["--worker", "dist/worker.js", "--serve", "node_modules"], /is not in it/],
    ]) {
      const { status, err } = await run(args)
      assert.equal(status, 2, `${args}: ${err}`)
      assert.match(err, expected)
    }
  })

  it("says how to get the runner", async () => {
    const nothing = { LIX_CONFORMANCE_BIN: "", CARGO_HOME: folder }
    const missing = await run(["--package", "dist"], { ...nothing, PATH: dirname(process.execPath) })
    assert.equal(missing.status, 127)
    assert.match(missing.err, /not installed[^]*cargo install --locked --git/)

    const other = program("other/conformance", "echo conformance 1.2.3")
    const mistaken = await run(["--package", "dist"], { ...nothing, PATH: [dirname(other), process.env.PATH].join(delimiter) })
    assert.equal(mistaken.status, 127)
    assert.match(mistaken.err, /other\/conformance is another program of that name/)

    for (const [args, env, how] of [
      [["--runner", "absent"], {}, /--runner is absent/],
      [["--runner", other], {}, /is not the conformance runner/],
      [[], { LIX_CONFORMANCE_BIN: "absent" }, /LIX_CONFORMANCE_BIN is absent/],
    ]) {
      const { status, err } = await run([...args, "--package", "dist"], env)
      assert.equal(status, 127, err)
      assert.match(err, how)
    }
  })

  it("finds the runner on the path, and where cargo installs", async () => {
    const cargo = join(folder, "cargo")
    const path = [join(cargo, "bin"), process.env.PATH].join(delimiter)
    mkdirSync(join(cargo, "bin"), { recursive: true })
    symlinkSync(RUNNER, join(cargo, "bin/conformance"))
    for (const env of [{ PATH: path }, { CARGO_HOME: cargo }, { LIX_CONFORMANCE_BIN: "conformance", PATH: path }]) {
      const { status, out, err } = await run(["list", "values/**"], { LIX_CONFORMANCE_BIN: "", ...env })
      assert.equal(status, 0, err)
      assert.match(out, /^values\//)
    }
  })

  it("takes no other browser than the one that was named", async () => {
    for (const [args, env, how] of [
      [["--browser", "absent"], {}, /--browser is absent/],
      [[], { CHROMIUM: "absent" }, /CHROMIUM is absent/],
    ]) {
      const { status, err } = await run([...args, "--package", "dist"], env)
      assert.equal(status, 3, err)
      assert.match(err, how)
    }
  })
})

describe("an engine in a browser", () => {
  it("passes what it passes without this package", async () => {
    const { status, out, err } = await run(["--worker", "./dist/worker.js", "--name", "ours", "--json", "report.json", "values/classes/**"], { CHROMIUM: BROWSER })
    assert.equal(status, 0, out + err)
    const { totals, implementation } = JSON.parse(readFileSync(join(folder, "report.json"), "utf8"))
    assert.equal(implementation, "ours")
    assert.ok(totals.passed > 5, out)
    assert.equal(out.trim().split("\n").at(-1), `${totals.passed} passed, 0 failed, ${totals.skipped ?? 0} skipped`)
  })

  it("is started by the browser of playwright-core, if that is installed", async () => {
    const playwright = dirname(createRequire(import.meta.url).resolve("playwright-core/package.json"))
    const env = { CHROMIUM: "", CHROME_PATH: "", PLAYWRIGHT_BROWSERS_PATH: join(folder, "browsers") }
    const script = `console.log(require(${JSON.stringify(playwright)}).chromium.executablePath())`
    const { stdout } = await promisify(execFile)("node", ["-e", script], { env: { ...process.env, ...env } })
    symlinkSync(playwright, join(folder, "node_modules/playwright-core"))
    const started = join(folder, "started")
    program(stdout.trim(), `echo > '${started}'; exec '${BROWSER}' "$@"`)

    const { status, out, err } = await run(["--package", "dist", "values/blobs/empty-is-not-null"], env)
    rmSync(join(folder, "node_modules/playwright-core"))
    assert.equal(status, 0, out + err)
    assert.ok(existsSync(started), "another browser was started")
  })

  it("may be a script of any name that loads what is beside its folder", async () => {
    file("my engine/start it.mjs", 'import "../dist/worker.js"')
    const args = ["--worker", "my engine/start it.mjs", "values/blobs/empty-is-not-null"]
    const wide = await run(["--serve", ".", ...args])
    assert.equal(wide.status, 0, wide.out + wide.err)

    const narrow = await run(args)
    assert.equal(narrow.status, 3, narrow.out)
    assert.match(narrow.err, /its script does not load.*\/dist\/worker\.js is outside of the folder/)
  })

  it("may be a script that is no module", async () => {
    file(
      "classic.js",
      `const early = []
       onmessage = (event) => early.push(event)
       self.isClassic = typeof importScripts === "function" && (importScripts("./empty.js"), true)
       import("./dist/worker.js").then(() => early.forEach((event) => onmessage(event)))`,
    )
    file("empty.js", "")
    const { status, out, err } = await run(["--worker", "classic.js", "--classic", "values/blobs/empty-is-not-null"])
    assert.equal(status, 0, out + err)
    file("impl.json", JSON.stringify({ name: "described", transport: "browser", worker: "classic.js", worker_type: "classic" }))
    const described = await run(["run", "--impl", "impl.json", "--json", "described.json", "values/blobs/empty-is-not-null"])
    assert.equal(described.status, 0, described.out + described.err)
    assert.equal(JSON.parse(readFileSync(join(folder, "described.json"), "utf8")).implementation, "described")
    const asModule = await run(["--worker", "classic.js", "values/blobs/empty-is-not-null"])
    assert.equal(asModule.status, 3, "importScripts is for scripts that are no modules")
    assert.match(asModule.err, /importScripts/)
  })

  it("that fails ends with the runner's status", async () => {
    file("stale.txt", "values/blobs/empty-is-not-null fail it does not, in fact\n")
    const args = ["--package", "dist", "--known-failures", "stale.txt", "values/blobs/empty-is-not-null"]
    const { status, out } = await run(args)
    assert.equal(status, 1, out)
    const nothing = await run(["--package", "dist", "no/such/case"])
    assert.equal(nothing.status, 5, nothing.err)
  })
})

describe("a worker that is no engine is told why", () => {
  const check = (name, script, ...expected) =>
    it(name, async () => {
      file(`broken/${name}.js`, script)
      const started = Date.now()
      const { status, out, err } = await run(["--worker", `broken/${name}.js`, "--start-timeout-ms", "4000"])
      assert.equal(status, 3, out + err)
      for (const each of expected) assert.match(err, each)
      assert.ok(Date.now() - started < 60_000, "it took as long as a hang")
    })
  check("throws", 'throw new Error("no luck")', /the worker failed: Uncaught Error: no luck \(throws\.js:1\)/)
  check("imports-nothing", 'import "./absent.js"', /its script does not load/, /absent\.js is not there/)
  check("is-no-javascript", "this is no script", /its script does not load \(SyntaxError/)
  check("is-mute", 'console.log("here I am")\nonmessage = () => {}', /says nothing/, /console: "here I am"/)
  check("rejects", 'onmessage = async () => { throw new Error("too late") }', /says nothing/, /too late/)
  check("ends", "onmessage = () => close()", /closed itself/)
  check("posts-text", 'onmessage = () => postMessage("hello")', /the worker posted "hello"/, /attachments\?: ArrayBuffer\[\]/)
  check("posts-no-frame", "onmessage = () => postMessage({ v: 1, frame: new Uint8Array([255, 255]).buffer })", /does not decode/)
  check("never-rests", "for (;;);", /says nothing/)
  check("floods", "for (;;) postMessage(5)", /the worker posted 5/)
  check("echoes", "onmessage = ({ data }) => postMessage(data)", /sends back the request/)
})

it("what is interrupted leaves nothing behind", async () => {
  const alive = createServer((_, answer) => answer.end())
  alive.listen(0, "127.0.0.1")
  await once(alive, "listening")
  file("waits.js", `fetch("http://127.0.0.1:${alive.address().port}/", { mode: "no-cors" }); onmessage = () => {}`)
  // The browser has a temporary folder of its own to be known by.
  const mark = join(folder, "interrupted")
  mkdirSync(mark)
  const child = start(["--worker", "waits.js", "--start-timeout-ms", "60000"], { TMPDIR: mark })
  await once(alive, "request")
  assert.notDeepEqual(readdirSync(mark), [], "the browser's profile is there")
  child.kill("SIGTERM")
  const [status] = await once(child, "exit")
  alive.close()
  alive.closeAllConnections()
  assert.equal(status, 143)
  if (process.platform === "linux") await goneWithin(10_000, mark)
})

/** Polls, since nobody tells of the end of a stranger's process. */
async function goneWithin(ms, mark) {
  const processes = () =>
    readdirSync("/proc").filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(mark)
      } catch {
        return false
      }
    })
  const deadline = Date.now() + ms
  while (processes().length > 0) {
    assert.ok(Date.now() < deadline, `still there: ${processes()}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function start(args, env = {}) {
  const command = join(folder, "node_modules/.bin/lix-engine-conformance")
  return spawn(command, args, { cwd: folder, env: { ...process.env, LIX_CONFORMANCE_BIN: RUNNER, ...env }, stdio: ["ignore", "pipe", "pipe"] })
}

async function run(args, env) {
  const child = start(args, env)
  const text = { out: "", err: "" }
  child.stdout.setEncoding("utf8").on("data", (more) => (text.out += more))
  child.stderr.setEncoding("utf8").on("data", (more) => (text.err += more))
  const [status] = await once(child, "close")
  return { status, ...text }
}

function file(name, text) {
  const path = name.startsWith("/") ? name : join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  return path
}

function program(name, script) {
  const path = file(name, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

function onPath(name) {
  const paths = (process.env.PATH ?? "").split(delimiter).map((dir) => join(dir, name))
  return paths.filter((path) => existsSync(path) && basename(path) === name)
}
