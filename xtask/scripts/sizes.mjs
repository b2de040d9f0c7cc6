// Prints, as JSON, the sizes of all .js and .wasm files below a folder: raw, and as a static host
// sends them.
// usage: node sizes.mjs FOLDER
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { brotliCompressSync, gzipSync } from "node:zlib"

const folder = process.argv[2]
const files = readdirSync(folder, { recursive: true })
  .map((name) => name.replaceAll("\\", "/"))
  .filter((name) => /\.(js|wasm)$/.test(name))
  .sort()
const sizes = files.map((name) => {
  const bytes = readFileSync(join(folder, name))
  return {
    name,
    raw: bytes.length,
    gzip: gzipSync(bytes, { level: 9 }).length,
    brotli: brotliCompressSync(bytes).length,
  }
})
console.log(JSON.stringify(sizes))
