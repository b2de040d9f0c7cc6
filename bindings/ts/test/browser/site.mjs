/** What the tests in a browser serve: the checks, bundled, and the built package under them. */

import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

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
    plugins: [fromBuild],
    logLevel: "error",
  })
  return out
}

const here = dirname(fileURLToPath(import.meta.url))
