// The README's examples run and print what their comments say. Those that need OPFS run in a browser,
// in test/browser/storage.mjs.

import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { join } from "node:path"
import { test } from "node:test"
import { fileURLToPath, pathToFileURL } from "node:url"
import { promisify } from "node:util"

const root = fileURLToPath(new URL("../..", import.meta.url))
const readme = await readFile(join(root, "README.md"), "utf8")
const examples = [...readme.matchAll(/^## ([^\n]*)$|^```ts\n(.*?)^```$/gms)]

let heading = "the first example"
let found = 0
for (const [, title, code] of examples) {
  if (title) heading = title
  if (!code || code.includes("createWorkerOpfsEngine")) continue
  found++
  test(`README: ${heading}`, async (t) => {
    // Inside the repository, so that the examples' dependencies are found; ignored by git.
    await mkdir(join(root, "../../out"), { recursive: true })
    const directory = await mkdtemp(join(root, "../../out/readme-"))
    t.after(() => rm(directory, { recursive: true }))
    const file = join(directory, "example.ts")
    // Node has no workers of the web: the other engine must do.
    await writeFile(file, code.replaceAll("createWorkerEngine", "createMainMemoryEngine").replaceAll('"lix-engine"', source("index.ts")).replaceAll('"lix-engine/kysely"', source("kysely/index.ts")))
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href
    const { stdout } = await promisify(execFile)(process.execPath, ["--import", tsx, file], { cwd: directory })
    const expected = [...code.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, comment]) => plain(comment!))
    assert.ok(expected.length > 0)
    assert.equal(plain(stdout), expected.join(""))
  })
}

test("README: there are examples", () => assert.ok(found >= 5))

function source(file: string): string {
  return JSON.stringify(pathToFileURL(join(root, "src", file)).href)
}

/** Neither quotes nor spacing matter. */
function plain(text: string): string {
  return text.replaceAll(/["'\s]/g, "")
}
