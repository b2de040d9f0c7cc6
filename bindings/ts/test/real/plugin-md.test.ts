// A plugin that was written for the original, as npm has it, in the engine in this thread.

import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { test } from "node:test"
import { createMainMemoryEngine } from "../../src/index.js"
import { pluginMd } from "../browser/plugin-md.mjs"
import { content, judge, STEPS, tell } from "../support/plugin-md.js"

test("@lix-js/plugin-md 0.2.1 runs unchanged: inserts, edits, moves, reads back", async (t) => {
  const entry = createRequire(import.meta.url).resolve("@lix-js/plugin-md")
  const { version } = JSON.parse(readFileSync(entry.replace(/dist[/\\]index\.js$/, "package.json"), "utf8")) as { version: string }
  assert.equal(version, "0.2.1")
  const code = await pluginMd()
  const engine = createMainMemoryEngine({ expProvideStringifiedPlugins: [code] })
  t.after(() => engine.close())
  await engine.init({ lix: true })
  judge(await tell(engine))

  const again = createMainMemoryEngine({ expProvideStringifiedPlugins: [code] })
  t.after(() => again.close())
  await again.init({ lix: true, blob: await engine.export() })
  assert.equal((await content(again)).trim(), STEPS.at(-1)!.trim())

  // Ids of blocks repeat from file to file.
  for (const path of ["/a.md", "/b.md"]) {
    await engine.exec("insert into file (path, data) values (?, ?)", [path, new TextEncoder().encode(STEPS[0]!)])
  }
})
