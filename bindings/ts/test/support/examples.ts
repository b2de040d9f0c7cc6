/** Examples of the documentation: each runs by itself, and prints what its comments say. */

import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { join } from "node:path"
import { test } from "node:test"
import { fileURLToPath, pathToFileURL } from "node:url"
import { promisify } from "node:util"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Makes a test of each example of a document that is wanted; resolves to how many there are. */
export async function testExamples(name: string, document: string, isWanted: (code: string) => boolean = () => true): Promise<number> {
  const text = await readFile(join(root, document), "utf8")
  let heading = "the first example"
  let found = 0
  for (const [, title, code] of text.matchAll(/^##+ ([^\n]*)$|^```ts\n(.*?)^```$/gms)) {
    if (title) heading = title
    if (!code || !isWanted(code)) continue
    found++
    test(`${name}: ${heading}`, async (t) => {
      // Inside the repository, so that the examples' dependencies are found; ignored by git.
      await mkdir(join(root, "../../out"), { recursive: true })
      const directory = await mkdtemp(join(root, "../../out/readme-"))
      t.after(() => rm(directory, { recursive: true }))
      const file = join(directory, "example.ts")
      await writeFile(file, inNode(code))
      const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href
      const { stdout } = await promisify(execFile)(process.execPath, ["--import", tsx, file], { cwd: directory })
      const expected = [...code.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, comment]) => plain(comment!))
      assert.ok(expected.length > 0)
      assert.equal(plain(stdout), expected.join(""))
    })
  }
  return found
}

/** Node has no workers of the web and no OPFS: the engine in the thread must do. */
function inNode(code: string): string {
  return code
    .replaceAll(/createWorkerOpfsEngine\(\{ path: "[^"]*" \}\)/g, "createMainMemoryEngine()")
    .replaceAll(/createWorker(Opfs)?Engine/g, "createMainMemoryEngine")
    .replaceAll('"lix-engine"', source("index.ts"))
    .replaceAll('"lix-engine/kysely"', source("kysely/index.ts"))
    .replaceAll('"lix-engine/lix"', source("lix/index.ts"))
}

function source(file: string): string {
  return JSON.stringify(pathToFileURL(join(root, "src", file)).href)
}

/** Neither quotes nor spacing matter. */
function plain(text: string): string {
  return text.replaceAll(/["'\s]/g, "")
}
