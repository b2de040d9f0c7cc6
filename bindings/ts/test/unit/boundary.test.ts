// What may import what.

import assert from "node:assert/strict"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const at = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url))

/** Every file and every bare name that a module of ours leads to. */
async function reach(entry: string): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [at(entry)],
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    packages: "external",
    external: ["*/lix_engine.js"],
  })
  const names = Object.entries(metafile.inputs).flatMap(([file, { imports }]) => [file, ...imports.filter(({ external }) => external).map(({ path }) => path)])
  return [...new Set(names)].map((name) => name.replace(/^.*src\//, "src/")).sort()
}

test("the worker runs unbundled: relative imports, no protobuf", async () => {
  assert.deepEqual(await reach("worker.ts"), ["./wasm/lix_engine.js", "src/failure-frames.ts", "src/load-plugins.ts", "src/load-wasm.ts", "src/opfs.ts", "src/pump.ts", "src/schedule.ts", "src/storage.ts", "src/worker.ts"])
})

test("what runs plugins is loaded on its own, and needs of Kysely what builds a select", async () => {
  assert.deepEqual(await reach("plugins/runtime.ts"), ["kysely", "src/plugins/query-sync.ts", "src/plugins/runtime.ts"])
})

test("the Kysely dialect brings Kysely and no engine", async () => {
  assert.deepEqual(await reach("kysely/index.ts"), ["kysely", "src/kysely/dialect.ts", "src/kysely/driver.ts", "src/kysely/index.ts", "src/kysely/json.ts", "src/schedule.ts"])
})

test("the entry for lixes needs Kysely and what the package needs", async () => {
  const bare = (await reach("lix/index.ts")).filter((name) => !/^(src|\.)\//.test(name))
  assert.deepEqual(bare, ["@bufbuild/protobuf", "@bufbuild/protobuf/codegenv2", "@bufbuild/protobuf/wire", "kysely", "kysely/helpers/sqlite"])
})

test("the package itself needs protobuf and nothing else", async () => {
  const bare = (await reach("index.ts")).filter((name) => !/^(src|\.)\//.test(name))
  assert.deepEqual(bare, ["@bufbuild/protobuf", "@bufbuild/protobuf/codegenv2", "@bufbuild/protobuf/wire"])
})
