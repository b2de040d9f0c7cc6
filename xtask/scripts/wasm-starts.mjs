// Two engine instances from one module, each opened and freed: the glue loads, exports what it
// should, and keeps nothing from one instance to the next.
// usage: node wasm-starts.mjs WASM GLUE
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"

const [wasm, glue] = process.argv.slice(2)
const exports = await import(pathToFileURL(glue))
assert.deepEqual(Object.keys(exports), ["instantiate"])

const module = new WebAssembly.Module(readFileSync(wasm))
const shells = [0, 1].map(() => new (exports.instantiate(module).Shell)(() => {}, false))
for (const method of ["receive", "step", "handle", "nextEventSeq", "free"]) {
  assert.equal(typeof shells[0][method], "function", method)
}
for (const shell of shells) shell.free()
