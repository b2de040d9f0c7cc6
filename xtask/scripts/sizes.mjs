// Prints, as JSON, the sizes of the .js and .wasm files below a folder: raw, and as a static host
// sends them. `loaded` are those that a plain page with the worker engine downloads: the
// standalone module, the worker with what it imports, and the wasm.
// usage: node sizes.mjs FOLDER
import { readdirSync, readFileSync } from "node:fs"
import { join, posix } from "node:path"
import { brotliCompressSync, gzipSync } from "node:zlib"

const folder = process.argv[2]
const read = (name) => readFileSync(join(folder, name))

const loaded = new Set()
const load = (name) => {
  if (loaded.has(name)) return
  loaded.add(name)
  if (!name.endsWith(".js")) return
  for (const [, module] of read(name).toString().matchAll(/\b(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g)) {
    load(posix.join(posix.dirname(name), module))
  }
}
for (const name of ["standalone.js", "worker.js", "wasm/lix_engine.wasm"]) load(name)

const sizes = readdirSync(folder, { recursive: true })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => /\.(js|wasm)$/.test(name))
  .sort()
  .map((name) => {
    const bytes = read(name)
    return {
      name,
      loaded: loaded.has(name),
      raw: bytes.length,
      gzip: gzipSync(bytes, { level: 9 }).length,
      brotli: brotliCompressSync(bytes).length,
    }
  })
console.log(JSON.stringify(sizes))
