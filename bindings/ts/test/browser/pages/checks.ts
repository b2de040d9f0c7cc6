/** Everything that run.mjs can run on this page. */

import { createWorkerEngine } from "../../../src/index.js"
import { kyselySuite } from "../../real/kysely-suite.js"
import { HOST } from "./host.js"

const kysely = kyselySuite(async () => {
  const engine = createWorkerEngine()
  await engine.init()
  return engine
})

export type Checks = { [name: string]: () => Promise<string | void> }

const checks: Checks = {
  ...HOST,
  ...Object.fromEntries(kysely.map(({ name, run }) => [`Kysely: ${name}`, run])),
}

Object.assign(globalThis, { checks })
