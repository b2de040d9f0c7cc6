/** What the tests in a browser serve: the checks, bundled, and the built package under them. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import { pluginMd } from "./plugin-md.mjs"

/** A page's script in one module that imports the package as it is built, not its sources. */
export async function bundle(entry, cleanups) {
  const out = mkdtempSync(join(tmpdir(), "lix-engine-browser-"))
  cleanups.push(() => rmSync(out, { recursive: true, force: true }))
  const built = { "src/index.js": "/package/standalone.js", "src/kysely/index.js": "/package/kysely/index.js" }
  const fromBuild = {
    name: "from-build",
    setup({ onResolve }) {
      onResolve({ filter: /\/src\/.*\.js$/ }, ({ path }) => {
        const target = built[path.replace(/^(\.\.\/)+/, "")]
        return target ? { path: target, external: true } : { errors: [{ text: `${path} is not an entry point of the package` }] }
      })
    },
  }
  await build({
    entryPoints: [join(here, "pages", entry)],
    outfile: join(out, entry.replace(/ts$/, "js")),
    bundle: true,
    format: "esm",
    target: "es2022",
    external: ["kysely", "kysely/*"],
    plugins: [fromBuild, pluginAsText],
    logLevel: "error",
  })
  return out
}

/** `import code from "text:lix-plugin-json"`: a plugin's module as text, as bundlers of people do with `?raw`. */
const pluginAsText = {
  name: "plugin-as-text",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^text:/ }, ({ path }) => ({ path: path.slice("text:".length), namespace: "text" }))
    onLoad({ filter: /.*/, namespace: "text" }, async ({ path }) => {
      const contents = path === "@lix-js/plugin-md" ? await pluginMd() : readFileSync(fileURLToPath(import.meta.resolve(path)), "utf8")
      return { contents, loader: "text" }
    })
  },
}

/** The package under other addresses, where the server does something on purpose: see `variant`. */
export function variants(dist) {
  return Object.fromEntries(["/no-blob/", "/blob/", "/no-runtime/"].map((prefix) => [prefix, dist]))
}

/** A worker's policy is that of the response which its script comes with. */
export function variant(dist, path, response) {
  const worker = (policy) => {
    response.writeHead(200, { "content-type": "text/javascript", "cache-control": "no-store", "content-security-policy": policy }).end(readFileSync(join(dist, "worker.js")))
    return true
  }
  switch (path) {
    case "/no-blob/worker.js":
      return worker("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'")
    case "/blob/worker.js":
      return worker("default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:")
    case "/no-runtime/plugins/runtime.js":
      response.writeHead(404).end()
      return true
    default:
      return false
  }
}

/**
 * A page's script in one module with everything that it imports, of the package what was built. It has to be served beside
 * the package's other files: that is where it looks for the worker.
 */
export async function bundleWhole(entry, dist, cleanups) {
  const out = mkdtempSync(join(tmpdir(), "lix-engine-browser-"))
  cleanups.push(() => rmSync(out, { recursive: true, force: true }))
  const fromBuild = {
    name: "from-build",
    setup({ onResolve }) {
      onResolve({ filter: /\/src\/.*\.js$/ }, ({ path }) => ({ path: join(dist, path.replace(/^(\.\.\/)+src\//, "")) }))
    },
  }
  const outfile = join(out, entry.replace(/ts$/, "js"))
  await build({ entryPoints: [join(here, "pages", entry)], outfile, bundle: true, format: "esm", target: "es2022", plugins: [fromBuild], logLevel: "error" })
  return outfile
}

const here = dirname(fileURLToPath(import.meta.url))
