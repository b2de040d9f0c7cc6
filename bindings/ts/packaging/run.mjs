/**
 * The package as packed, where people use it: in a Vite build and behind Vite's dev server, in a
 * webpack build, on a page without a bundler, in Node, and under a strict TypeScript compiler.
 *
 * The tarball and its two companions are installed from files into a directory outside the
 * repository, so nothing is found that a user would not have; the network is not used. The pages
 * come from a host without COOP and COEP headers.
 *
 *   node bindings/ts/packaging/run.mjs [tarball]      CHROMIUM=path picks the browser
 */

import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join, posix, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { build, createServer } from "vite"
import webpack from "webpack"
import { bounded, Checks, launch, serve, watchedPage } from "../test/browser/harness.mjs"

async function main() {
  const work = realpathSync(mkdtempSync(join(tmpdir(), "lix-engine-packaging-")))
  const suite = new Checks()
  const cleanups = [() => rmSync(work, { recursive: true, force: true })]
  try {
    const tarball = process.argv[2] ? resolve(process.argv[2]) : await pack(repository("bindings/ts"), work)
    const full = await install(work, "full", tarball, ["@bufbuild/protobuf", "kysely"])
    const bare = await install(work, "bare", tarball, ["@bufbuild/protobuf"])
    await contents(suite, full)
    await linters(suite, tarball)
    await types(suite, full, bare)
    await node(suite, full, bare)

    const { origin, close } = await serve({ "/": full })
    cleanups.unshift(close)
    const browser = await launch()
    cleanups.unshift(() => browser.close())
    await suite.check("Vite builds", () => viteBuild(full))
    await page(suite, browser, "Vite build", `${origin}/vite/dist/`)
    await suite.check("webpack builds", () => webpackBuild(full))
    await page(suite, browser, "webpack build", `${origin}/webpack/`)
    await page(suite, browser, "plain page", `${origin}/plain/`)
    const dev = await viteDevServer(full)
    cleanups.unshift(() => dev.close())
    await page(suite, browser, "Vite dev server", dev.url)
  } finally {
    for (const cleanup of cleanups) await cleanup()
  }
  suite.finish()
}

// ── The tarball ────────────────────────────────────────────────────────────

async function contents(suite, app) {
  const root = join(app, "node_modules/lix-engine")
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1).replaceAll("\\", "/"))

  await suite.check("the tarball says what it is, and under which licence", async () => {
    for (const name of ["README.md", "LICENSE-MIT", "LICENSE-APACHE"]) assert.ok(files.includes(name), `no ${name}`)
    for (const field of ["name", "version", "description", "license"]) assert.ok(manifest[field], `package.json has no ${field}`)
  })

  await suite.check("the tarball holds what its entry points lead to, and nothing else", async () => {
    const reached = reachable(root, Object.values(manifest.exports).flatMap((entry) => (typeof entry === "string" ? entry : Object.values(entry))))
    const missing = [...reached].filter((file) => !files.includes(file))
    assert.deepEqual(missing, [], "named by an import, not in the tarball")
    assert.ok(reached.has("dist/worker.js") && reached.has("dist/wasm/lix_engine.wasm"), "the search is blind")
    const documents = ["package.json", "README.md", "LICENSE-MIT", "LICENSE-APACHE"]
    // tsc writes types beside each module and a module beside types.
    const twin = (file) => (file.endsWith(".d.ts") ? file.replace(/\.d\.ts$/, ".js") : file.replace(/\.js$/, ".d.ts"))
    const superfluous = files.filter((file) => !reached.has(file) && !reached.has(twin(file)) && !documents.includes(file))
    assert.deepEqual(superfluous, [])
    return `${files.length} files`
  })

  await suite.check("it depends on @bufbuild/protobuf alone; kysely is an optional peer; nothing runs at installation", async () => {
    assert.deepEqual(Object.keys(manifest.dependencies), ["@bufbuild/protobuf"])
    assert.deepEqual(Object.keys(manifest.peerDependencies), ["kysely"])
    assert.equal(manifest.peerDependenciesMeta.kysely.optional, true)
    for (const hook of ["preinstall", "install", "postinstall"]) assert.equal(manifest.scripts?.[hook], undefined)
  })

  await suite.check("modules of the worker import nothing by a bare name", async () => {
    // In a large minified module, texts look like imports; the worker loads it by its URL, and so it has none.
    const hasNone = "dist/plugins/runtime.js"
    assert.doesNotMatch(readFileSync(join(root, hasNone), "utf8"), /(^|[;}])import[\s{*"'(]|[;}]from["']/m)
    for (const file of reachable(root, ["./dist/worker.js"])) {
      if (file !== hasNone && file.endsWith(".js")) assert.deepEqual(specifiers(join(root, file)).filter((name) => !name.startsWith(".")), [], file)
    }
  })
}

/** Every file of the package that these entries import, load by URL, or re-export, entries included. */
function reachable(root, entries) {
  const reached = new Set()
  const queue = entries.map((entry) => posix.normalize(entry))
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    if (reached.has(file)) continue
    reached.add(file)
    if (!/\.(js|d\.ts)$/.test(file)) continue
    for (const name of specifiers(join(root, file))) {
      if (!name.startsWith(".")) continue
      const target = posix.join(posix.dirname(file), name)
      queue.push(file.endsWith(".d.ts") ? target.replace(/\.js$/, ".d.ts") : target)
    }
  }
  return reached
}

function specifiers(file) {
  // Comments name modules too.
  const source = readFileSync(file, "utf8").replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "")
  const imports = /\b(?:from|import)\s*\(?\s*(["'`])([^"'`]+)\1|new URL\((["'`])([^"'`]+)\3,\s*import\.meta\.url\)/g
  return [...source.matchAll(imports)].map((match) => match[2] ?? match[4])
}

async function linters(suite, tarball) {
  await suite.check("publint finds nothing", () => run(tool("publint", "src/cli.js"), ["run", "--strict", tarball]))
  // A wasm file has no types.
  const notModules = ["--exclude-entrypoints", "lix_engine.wasm"]
  await suite.check("attw finds nothing", () => run(tool("@arethetypeswrong/cli", "dist/index.js"), ["--profile", "esm-only", tarball, ...notModules]))
}

// ── TypeScript and Node ────────────────────────────────────────────────────

async function types(suite, full, bare) {
  const compile = async (app, file, compilerOptions) => {
    const project = join(app, "tsconfig.json")
    writeFileSync(project, JSON.stringify({ extends: "./types/tsconfig.json", compilerOptions, files: [file] }))
    await run(tool("typescript", "bin/tsc"), ["-p", project], { cwd: app })
  }
  const resolutions = {
    bundler: { module: "esnext", moduleResolution: "bundler" },
    nodenext: { module: "nodenext", moduleResolution: "nodenext" },
  }
  for (const [name, settings] of Object.entries(resolutions)) {
    await suite.check(`a strict program compiles with moduleResolution ${name}`, () => compile(full, "types/consumer.ts", settings))
    await suite.check(`a program without kysely compiles with moduleResolution ${name}`, () => compile(bare, "types/without-kysely.ts", settings))
  }
  const nodeTypes = { lib: ["es2022"], types: ["node"], typeRoots: [repository("node_modules/@types")] }
  await suite.check("a Node program compiles, without the DOM's types", () => compile(bare, "types/without-kysely.ts", { ...resolutions.nodenext, ...nodeTypes }))
  await suite.check("the Vite sample compiles", () => compile(full, "vite/main.ts", resolutions.bundler))
}

async function node(suite, full, bare) {
  const answer = async (app, file) => JSON.parse(await run(join(app, "node", file), [], { cwd: app }))
  await suite.check("the in-process engine answers in Node", async () => assert.deepEqual(await answer(full, "main.mjs"), ANSWER))
  await suite.check("a plugin runs in Node, where kysely is not installed", async () => assert.deepEqual(await answer(bare, "plugin.mjs"), ANSWER))
  await suite.check("Kysely works in Node", async () => assert.deepEqual(await answer(full, "kysely.mjs"), ANSWER))
  await suite.check("a lix works in Node", async () => assert.deepEqual(await answer(full, "lix.mjs"), ANSWER))
  await suite.check("the package works without kysely", async () => {
    assert.deepEqual(await answer(bare, "main.mjs"), ANSWER)
    await assert.rejects(answer(bare, "kysely.mjs"), /Cannot find package 'kysely'/)
  })
  await suite.check("where there are no workers, createWorkerEngine() says so with a typed error", async () => {
    const script = `
      import { createWorkerEngine, EngineError } from "lix-engine"
      try {
        await createWorkerEngine().init()
      } catch (error) {
        console.log(error instanceof EngineError ? "EngineError" : String(error))
      }`
    assert.equal((await run("--input-type=module", ["--eval", script], { cwd: full })).trim(), "EngineError")
  })
}

// ── Pages ──────────────────────────────────────────────────────────────────

/** Opens a page that offers `inWorker()`, `inOpfs()`, `inProcess()` and two with a plugin, and calls them all. */
async function page(suite, browser, name, url) {
  const seen = await watchedPage(browser)
  const call = (method) => bounded(seen.page.evaluate((method) => globalThis[method](), method), PAGE_MS, `${method}()`)
  const explained = async (run) => {
    try {
      return await run()
    } catch (error) {
      throw new Error(`${error.message}\non the page: ${seen.problems.join("\n") || "nothing"}`, { cause: error })
    }
  }

  await suite.check(`${name}: the in-process engine answers, without a worker`, () =>
    explained(async () => {
      await seen.page.goto(url)
      await seen.page.waitForFunction(() => "inProcess" in globalThis, null, { timeout: PAGE_MS })
      assert.deepEqual(await call("inProcess"), ANSWER)
      assert.deepEqual(seen.workers.map((worker) => worker.url()), [])
    }))

  await suite.check(`${name}: the worker engine answers from a worker, which ends with it`, () =>
    explained(async () => {
      const ended = seen.page.waitForEvent("worker", { timeout: PAGE_MS }).then((worker) => worker.waitForEvent("close", { timeout: PAGE_MS }))
      assert.deepEqual((await Promise.all([call("inWorker"), ended]))[0], ANSWER)
      assert.equal(seen.workers.length, 1)
      assert.ok(seen.workers[0].url().startsWith(new URL(url).origin), seen.workers[0].url())
      return basename(new URL(seen.workers[0].url()).pathname)
    }))

  await suite.check(`${name}: the OPFS engine finds again what it wrote`, () => explained(async () => assert.deepEqual(await call("inOpfs"), ANSWER)))

  if (await seen.page.evaluate(() => "inLix" in globalThis)) {
    await suite.check(`${name}: a lix is there when it is opened again`, () => explained(async () => assert.deepEqual(await call("inLix"), ANSWER)))
  } else {
    assert.equal(name, "plain page", "Kysely takes a bundler")
  }

  await suite.check(`${name}: a plugin runs in the worker and in the page`, () =>
    explained(async () => {
      assert.deepEqual(await call("pluginInWorker"), ANSWER)
      assert.deepEqual(await call("pluginInProcess"), ANSWER)
    }))

  await suite.check(`${name}: not cross-origin isolated, no other host, nothing went wrong`, async () => {
    assert.equal(await seen.page.evaluate(() => crossOriginIsolated), false)
    for (const response of seen.responses) {
      const headers = Object.keys(response.headers())
      assert.deepEqual(headers.filter((header) => /^cross-origin-(opener|embedder)-policy$/.test(header)), [], response.url())
    }
    assert.deepEqual(seen.requests.filter((request) => new URL(request).origin !== new URL(url).origin && !/^(data|blob):/.test(request)), [])
    assert.deepEqual(seen.problems, [])
  })
  await seen.page.close()
}

function viteBuild(app) {
  return build({ root: join(app, "vite"), base: "./", configFile: false, logLevel: "error" })
}

async function viteDevServer(app) {
  const server = await createServer({
    root: join(app, "vite"),
    configFile: false,
    logLevel: "error",
    server: { host: "127.0.0.1", port: 0, hmr: false, watch: null },
  })
  await server.listen()
  return { url: `http://127.0.0.1:${server.httpServer.address().port}/`, close: () => server.close() }
}

async function webpackBuild(app) {
  const { default: config } = await import(join(app, "webpack/webpack.config.mjs"))
  const compiler = webpack(config)
  const stats = await promisify(compiler.run.bind(compiler))()
  await promisify(compiler.close.bind(compiler))()
  const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true })
  assert.deepEqual(errors.map((each) => each.message), [])
  assert.deepEqual(warnings.map((each) => each.message), [])
}

// ── Packing and installing ─────────────────────────────────────────────────

/** Packs a directory; returns the tarball. */
async function pack(directory, out) {
  const printed = await npm(["pack", directory, "--pack-destination", out, "--ignore-scripts", "--json"], out)
  return join(out, JSON.parse(printed)[0].filename)
}

/** A project with the samples, the tarball, and packages of this repository packed for it. */
async function install(work, name, tarball, companions) {
  const app = join(work, name)
  mkdirSync(app)
  for (const sample of ["vite", "webpack", "plain", "node", "types"]) cpSync(join(here, sample), join(app, sample), { recursive: true })
  for (const sample of ["vite", "webpack", "plain", "node"]) cpSync(join(here, "plugin.js"), join(app, sample, "plugin.js"))
  const dependencies = { "lix-engine": `file:${tarball}` }
  for (const companion of companions) dependencies[companion] = `file:${await pack(repository("node_modules", companion), work)}`
  writeFileSync(join(app, "package.json"), JSON.stringify({ name, private: true, type: "module", dependencies }))
  await npm(["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"], app)
  return app
}

function npm(arguments_, cwd) {
  return execute("npm", [...arguments_, "--loglevel=error"], cwd)
}

function run(script, arguments_, { cwd = here } = {}) {
  return execute(process.execPath, [script, ...arguments_], cwd)
}

async function execute(program, arguments_, cwd) {
  // What npm tells its scripts about this repository is not for the project outside of it.
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^npm_(package|lifecycle|config_workspace|config_local_prefix)/i.test(key)))
  try {
    const { stdout } = await promisify(execFile)(program, arguments_, { cwd, env, timeout: PROGRAM_MS, maxBuffer: 1 << 26, shell: process.platform === "win32" })
    return stdout
  } catch (error) {
    throw new Error(`${basename(program)} ${arguments_.join(" ")}\n${error.stdout ?? ""}${error.stderr ?? error.message}`, { cause: error })
  }
}

function tool(name, script) {
  return repository("node_modules", name, script)
}

function repository(...parts) {
  return join(here, "../../..", ...parts)
}

const here = dirname(fileURLToPath(import.meta.url))
const ANSWER = { rows: [{ answer: 42 }], notes: [{ id: 7, text: "hello" }] }
const PAGE_MS = 30_000
const PROGRAM_MS = 120_000

await main()
