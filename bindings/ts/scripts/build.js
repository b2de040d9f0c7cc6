/**
 * Copies the licences in, and fills dist/: the modules as tsc emits them, the generated code and the wasm beside them, and
 * standalone.js, the same package in one module for pages without a bundler.
 */

import { execFileSync } from "node:child_process"
import { cpSync, existsSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const at = (...parts) => join(root, ...parts)

for (const file of ["src/wasm/lix_engine.js", "src/wasm/lix_engine.wasm"]) {
  if (!existsSync(at(file))) fail(`${file} is missing; build it with: cargo xtask wasm`)
}

for (const file of ["LICENSE-MIT", "LICENSE-APACHE"]) cpSync(at("../..", file), at(file))
rmSync(at("dist"), { recursive: true, force: true })
const tsc = createRequire(import.meta.url).resolve("typescript/package.json")
execFileSync(process.execPath, [join(dirname(tsc), "bin/tsc"), "-p", at("tsconfig.build.json")], { stdio: "inherit" })
cpSync(at("src/gen"), at("dist/gen"), { recursive: true })
for (const file of ["lix_engine.js", "lix_engine.wasm"]) cpSync(at("src/wasm", file), at("dist/wasm", file))

// The worker and the wasm stay files of their own: `new URL(…, import.meta.url)` finds them.
await build({
  entryPoints: [at("dist/index.js")],
  outfile: at("dist/standalone.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
})

function fail(message) {
  console.error(message)
  process.exit(1)
}
