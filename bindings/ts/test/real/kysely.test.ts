// Kysely's documented features on the real engine, in this thread.

import { test } from "node:test"
import { createMainMemoryEngine } from "../../src/index.js"
import { kyselySuite } from "./kysely-suite.js"

for (const { name, run } of kyselySuite(async () => {
  const engine = createMainMemoryEngine()
  await engine.init()
  return engine
})) {
  test(name, run)
}
