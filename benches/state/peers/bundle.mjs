/**
 * The peers as a page can load them: bundled by Vite, which is what their documentation tells people
 * to do. Built anew when their lock file or this folder has changed.
 */

import { createHash } from "node:crypto"
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "vite"

/** The folder to serve as `/peers/`. */
export async function bundledPeers() {
  const out = fromHere("../dist/peers")
  const stamp = join(out, ".built-from")
  const from = fingerprint()
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === from) return out
  console.error("bundling the peers, which takes a while")
  await build({
    configFile: false,
    root: fromHere("."),
    base: "/peers/",
    logLevel: "error",
    build: {
      outDir: out,
      emptyOutDir: true,
      target: "esnext",
      assetsInlineLimit: 0,
      chunkSizeWarningLimit: Infinity,
      rollupOptions: {
        input: { "sdk-05": fromHere("sdk-05.js"), "sdk-17": fromHere("sdk-17.js") },
        preserveEntrySignatures: "strict",
        output: { entryFileNames: "[name].js" },
      },
    },
    worker: { format: "es" },
  })
  writeFileSync(stamp, from)
  return out
}

function fingerprint() {
  const hash = createHash("sha256")
  const own = readdirSync(fromHere(".")).toSorted().map(fromHere)
  for (const file of [fromHere("../package-lock.json"), ...own]) hash.update(readFileSync(file))
  return hash.digest("hex")
}

function fromHere(path) {
  return fileURLToPath(new URL(path, import.meta.url))
}
