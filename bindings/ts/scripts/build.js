/**
 * Copies the licences in, and fills dist/: the modules as tsc emits them, the generated code and the wasm beside them, the
 * worker's script as one module, the code that runs plugins as another, and standalone.js, the whole package in one
 * module for pages without a bundler.
 */

import { execFileSync } from "node:child_process"
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const KYSELY_NOTICE = "// Contains parts of Kysely: MIT License, Copyright (c) 2022 Sami Koskimäki."
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

// The wasm stays a file of its own: `new URL(…, import.meta.url)` finds it. The worker's script is one module because its
// imports are fetched one behind the other before an engine can open anything: 8 of 80 ms to the first answer.
await bundle("worker.js", "worker.js", { allowOverwrite: true })
leaveImportAlone("worker.js")
// Loaded only where there are plugins. With what it needs of Kysely, which a worker could not find.
await bundle("plugins/runtime.js", "plugins/runtime.js", { allowOverwrite: true, banner: { js: KYSELY_NOTICE } })
for (const file of ["query-sync.js", "query-sync.d.ts", "plugin.js"]) rmSync(at("dist/plugins", file))
// Here the worker stays a file of its own, too.
await bundle("index.js", "standalone.js")
leaveImportAlone("standalone.js")

function bundle(entry, out, options) {
  return build({
    entryPoints: [at("dist", entry)],
    outfile: at("dist", out),
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    ...options,
  })
}

/** A plugin is imported by a URL that is made at run time. Minifying took away what tells bundlers so. */
function leaveImportAlone(out) {
  const pieces = readFileSync(at("dist", out), "utf8").split(/\bimport\((?!\/\*)/)
  if (pieces.length !== 2) fail(`${out} has ${pieces.length - 1} imports at run time, not one`)
  writeFileSync(at("dist", out), pieces.join("import(/* @vite-ignore */ /* webpackIgnore: true */ "))
}

function fail(message) {
  console.error(message)
  process.exit(1)
}
