// Builds one plugin: dist/index.js, a single ES module without imports, and the same as a string.
//
//     node ../shared/build.mjs json

import { readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const plugins = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = join(plugins, process.argv[2] ?? "")
const out = (name) => join(folder, "dist", name)

// Papa Parse asks for it in a function that is only for Node.
const noStream = {
  name: "no stream",
  setup(build) {
    build.onResolve({ filter: /^stream$/ }, () => ({ path: "stream", namespace: "absent" }))
    build.onLoad({ filter: /.*/, namespace: "absent" }, () => ({ contents: "export {}" }))
  },
}

await build({
  entryPoints: [join(folder, "src/index.ts")],
  outfile: out("index.js"),
  bundle: true,
  format: "esm",
  target: "es2022",
  // Neither Node nor a page: packages show the build that needs nothing of either.
  platform: "neutral",
  mainFields: ["module", "main"],
  conditions: ["worker"],
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "inline",
  plugins: [noStream],
  logLevel: "warning",
})

const code = readFileSync(out("index.js"), "utf8")
writeFileSync(out("source.js"), `export default ${JSON.stringify(code)}\n`)
writeFileSync(out("source.d.ts"), `/** The text of this plugin's module. */\ndeclare const source: string\nexport default source\n`)

// The contract, and what the module exports.
const contract = readFileSync(join(plugins, "shared/src/contract.ts"), "utf8")
writeFileSync(
  out("index.d.ts"),
  `${contract}\nexport declare const plugin: LixPlugin\nexport default plugin\n`,
)
console.log(`${process.argv[2]}: ${(code.length / 1024).toFixed(0)} KiB`)
