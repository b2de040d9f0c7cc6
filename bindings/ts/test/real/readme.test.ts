// The examples of the README, of docs/lix.md and of docs/plugins.md run and print what their comments say. Those of the README that need OPFS
// run in a browser, in test/browser/storage.mjs.

import assert from "node:assert/strict"
import { test } from "node:test"
import { testExamples } from "../support/examples.js"

const readme = await testExamples("README", "README.md", (code) => !code.includes("createWorkerOpfsEngine"))
const lix = await testExamples("docs/lix.md", "../../docs/lix.md")
const plugins = await testExamples("docs/plugins.md", "../../docs/plugins.md")

test("there are examples", () => {
  assert.ok(readme >= 5)
  assert.ok(lix >= 8)
  assert.ok(plugins >= 2)
})
