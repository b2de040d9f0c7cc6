/**
 * The Markdown plugin that npm has for the original, unchanged, as the text of one module: what a
 * bundler does for people who import it as text.
 */

import { dirname } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

/** @returns {Promise<string>} */
export async function pluginMd() {
  const { outputFiles } = await build({
    stdin: { contents: `export { plugin } from "@lix-js/plugin-md"`, resolveDir: dirname(fileURLToPath(import.meta.url)) },
    bundle: true,
    format: "esm",
    target: "es2022",
    write: false,
    logLevel: "error",
  })
  return outputFiles[0].text
}
