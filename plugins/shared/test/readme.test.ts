// The examples of the plugins' READMEs run and print what their comments say.

import assert from "node:assert/strict"
import { test } from "node:test"
import { testExamples } from "../../../bindings/ts/test/support/examples.ts"

const found: [string, number][] = []
for (const name of ["json", "csv", "markdown", "text"]) {
  found.push([name, await testExamples(`lix-plugin-${name}`, `../../plugins/${name}/README.md`)])
}

test("each has an example", () => {
  assert.deepEqual(found.map(([, count]) => count), [1, 1, 1, 1])
})
