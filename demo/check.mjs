// Drives the built pages in a real Chromium and looks at what a visitor would see.
//
// The server sends no COOP or COEP header, so what passes here passes on any static host.
//
//   node check.mjs [app|bench] [--docs]     CHROMIUM=path picks the browser; --docs renews docs/images
import { rmSync } from "node:fs"
import * as app from "./check/app.mjs"
import * as bench from "./check/bench.mjs"
import { run, shots } from "./check/harness.mjs"

const pages = [app, bench]
const asked = pages.filter(({ name }) => process.argv.includes(name))
if (asked.length === 0) rmSync(shots, { recursive: true, force: true })
let failed = 0
for (const page of asked.length > 0 ? asked : pages) failed += await run(page)
process.exitCode = failed === 0 ? 0 : 1
