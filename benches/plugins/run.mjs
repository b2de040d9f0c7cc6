/**
 * Files through plugins, and opening: ours beside two releases of npm's `@lix-js/sdk`, in one run, in a
 * real Chromium.
 *
 *   node benches/plugins/run.mjs [--quick] [--only WORD] [--write] [--dist DIR] [--ours]
 *
 * --quick   few repetitions and small data, to see that everything runs; its numbers mean nothing
 * --only    the parts whose name holds this word: json, csv, opening
 * --write   renews the table in benches/RESULTS.md
 * --dist    another build of bindings/ts, to compare two
 * --ours    ours alone
 *
 * All take turns, repetition by repetition, so that whatever else the machine does meets all. Each has
 * to answer what was written; a wrong answer, and nothing else, makes the run fail.
 */

import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { build } from "esbuild"
import { startBrowser } from "../shared/browser.mjs"
import { printRow, printTable, writeResults } from "../shared/report.mjs"
import { alternate, busyShare, checkProbe, tellBusy } from "../shared/turns.mjs"
import { bundledPeers } from "../state/peers/bundle.mjs"

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean" },
    only: { type: "string" },
    write: { type: "boolean" },
    dist: { type: "string" },
    ours: { type: "boolean" },
  },
})

const RELEASES = { sdk17: "0.17.0", sdk05: "0.5.1" }
/** What bounds the ratio to a peer. */
const TARGETS = { sdk17: 0.1, sdk05: 0.01 }

// 0.5.1 fails beyond some 400 properties.
const FEW = flags.quick ? [10, 20] : [100, 400]
const MANY = flags.quick ? [50] : [1_000, 10_000]
// 0.17.0 ends a plugin that takes too long, which at 100,000 rows it does.
const ROWS = flags.quick ? { both: 20, ours: 200 } : { both: 10_000, ours: 100_000 }

const parts = { json, csv, opening }

const busyBefore = await busyShare()
const browser = await startBrowser({
  page: fromHere("page"),
  folders: {
    ...(!flags.ours && { "/peers/": await bundledPeers() }),
    "/plugins/json/": fromHere("../../plugins/json/dist"),
    "/plugins/csv/": fromHere("../../plugins/csv/dist"),
    "/ours/": await bundledLix(),
  },
  dist: flags.dist,
})
const results = []
try {
  await checkProbe(browser)
  for (const [name, measure] of Object.entries(parts)) {
    if (name.includes(flags.only ?? "")) await measure()
  }
} finally {
  await browser.close()
}
const busy = tellBusy(busyBefore, await busyShare())
if (flags.write) writeResults("plugins", results, { version: browser.version, busy, peers: "@lix-js/sdk 0.5.1 and 0.17.0" })
if (flags.quick) console.log("a quick run: little data, few repetitions, numbers without a meaning")
printTable(results)

// ---- the parts --------------------------------------------------------------

/** A JSON object of strings. 0.17.0 has no plugin for it. */
async function json() {
  for (const size of FEW) await files("json", size, names("ours", "sdk05"), `JSON, ${properties(size)}`)
  for (const size of MANY) {
    const largest = size === MANY.at(-1)
    await files("json", size, ["ours"], `JSON, ${properties(size)}`, largest ? { insert: 1_000, edit: 100 } : {})
  }
}

/** Rows with a key and two columns. What 0.5.1 had for it does not work. */
async function csv() {
  await files("csv", ROWS.both, names("ours", "sdk17"), `CSV, ${rows(ROWS.both)}`)
  await files("csv", ROWS.ours, ["ours"], `CSV, ${rows(ROWS.ours)}`)
}

/** To the first answer, in a new page whose code is in the browser's cache. */
async function opening() {
  const all = names("ours", "sdk17", "sdk05")
  const samples = await alternate(all, async (who) => {
    const page = await browser.page()
    const { ms } = await page.bench("openNew", who)
    await page.close()
    return { value: ms }
  }, { warmUps: flags.quick ? 0 : 2, repetitions: flags.quick ? 1 : 9 })
  lines("openLix, new path, to the first answer", "ms", samples, { targets: { sdk17: 1, sdk05: 0.2 } })
}

async function files(kind, size, all, name, below = {}) {
  const page = await browser.page()
  for (const who of all) await page.bench("open", who)
  const paths = {}
  const few = size >= 100_000
  const repetitions = flags.quick ? 1 : few ? 3 : 7
  const turns = (workload, options, unit = "ms") =>
    alternate(all, async (who) => {
      const { path, [unit]: value } = await page.bench(workload, who, { kind, size, path: paths[who], ...options })
      paths[who] = path ?? paths[who]
      return { value }
    }, { warmUps: few || flags.quick ? 0 : 2, repetitions })

  // The first call of each compiles what it needs.
  for (const who of all) await page.bench("insert", who, { kind, size: 10 })
  lines(`${name}, inserted`, "ms", await turns("insert"), { targets: TARGETS, below: below.insert })
  lines(`${name}, one changed`, "ms", await turns("edit"), { targets: TARGETS, below: below.edit })
  lines(`${name}, read again`, "ms", await turns("readWarm"), { targets: TARGETS })
  lines(`${name}, read after opening`, "ms", await turns("readCold"), { targets: TARGETS })
  const blocks = await turns("insert", { probe: true }, "block")
  lines(`${name}, inserted, longest block`, "ms", blocks, { below: 50 })
  await page.close()
}

// ---- measuring --------------------------------------------------------------

/** A row for each peer that was measured, and one for what bounds ours. */
function lines(name, unit, { ours, ...peers }, { targets = {}, below }) {
  for (const [who, release] of Object.entries(RELEASES)) {
    if (peers[who]) row({ name: `${name} / ${release}`, unit, ours, baseline: peers[who], target: targets[who] })
  }
  if (below !== undefined) row({ name, unit, ours, below })
  else if (!Object.keys(RELEASES).some((who) => peers[who])) row({ name, unit, ours })
}

function row(row) {
  results.push(row)
  printRow(row)
}

function names(...all) {
  return all.filter((name) => !(name in RELEASES && flags.ours))
}

/** `openLix` with Kysely, as a bundler makes it. */
async function bundledLix() {
  const out = fromHere("dist")
  await build({
    entryPoints: { lix: fromHere("../../bindings/ts/dist/lix/index.js") },
    bundle: true,
    format: "esm",
    outdir: out,
    logLevel: "error",
  })
  return out
}

function properties(count) {
  return `${count.toLocaleString("en")} properties`
}

function rows(count) {
  return `${count.toLocaleString("en")} rows`
}

function fromHere(path) {
  return fileURLToPath(new URL(path, import.meta.url))
}
