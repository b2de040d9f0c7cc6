/**
 * The worker engine beside a plain baseline, in one run, in a real Chromium.
 *
 *   node benches/transport/run.mjs [--quick] [--only WORD] [--write] [--dist DIR]
 *
 * --quick  few repetitions and small data, to see that everything runs; its numbers mean nothing
 * --only   the rows whose name holds this word
 * --write  renews the table in benches/RESULTS.md
 * --dist   another build of bindings/ts, to compare two
 *
 * Both take turns, repetition by repetition, so that whatever else the machine does meets both. What
 * they answer is compared every time; a difference, and nothing else, makes the run fail.
 */

import { deepStrictEqual } from "node:assert"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { startBrowser } from "../shared/browser.mjs"
import { printRow, printTable, writeResults } from "../shared/report.mjs"
import { alternate, busyShare, checkProbe, tellBusy } from "../shared/turns.mjs"

const { values: flags } = parseArgs({
  options: { quick: { type: "boolean" }, only: { type: "string" }, write: { type: "boolean" }, dist: { type: "string" } },
})

const ROWS = 100_000
const INSERTS = 10_000
const WRITES = 200_000
const IMAGE_BYTES = 100 * 1024 * 1024
const BOTH = ["ours", "baseline"]

/** One row per target. `target` bounds ours/baseline, `below` ours alone. */
const rows = [
  { name: "one row by its key, awaited", unit: "µs", target: 0.6, measure: oneRow },
  { name: "10,000 inserts, awaited", unit: "ms", target: 0.6, measure: inserts("insertsAwaited", "exchangesAwaited") },
  { name: "10,000 inserts, pipelined", unit: "ms", target: 0.6, measure: inserts("insertsPipelined", "exchangesPipelined") },
  { name: "10,000 inserts, one batch", unit: "ms", target: 0.4, measure: inserts("insertsInOneBatch") },
  { name: "200,000 inserts, batches of 1,000", unit: "ms", target: 0.3, measure: writes },
  { name: "100,000 × 6 to objects", unit: "ms", target: 0.25, measure: largeResult("rows", "ms") },
  { name: "100,000 × 6 to columns", unit: "ms", target: 0.12, measure: largeResult("columns", "ms") },
  { name: "longest block of that query", unit: "ms", target: 0.2, measure: largeResult("rows", "block") },
  { name: "longest block, streamed", unit: "ms", below: 16, measure: streamed },
  { name: "peak memory of that query", unit: "MiB", target: 0.5, measure: peakMemory },
  { name: "100 MiB export", unit: "ms", target: 1, measure: exports },
  { name: "100 MiB import to first answer", unit: "ms", target: 1, measure: imports },
  { name: "open to first answer", unit: "ms", target: 1, measure: opening },
].filter(({ name }) => name.includes(flags.only ?? ""))

const busyBefore = await busyShare()
const browser = await startBrowser({ page: fileURLToPath(new URL("page", import.meta.url)), dist: flags.dist })
const results = []
try {
  await checkProbe(browser)
  for (const row of rows) {
    const samples = await row.measure()
    results.push({ ...row, ...samples })
    printRow(results.at(-1))
  }
} finally {
  await browser.close()
}
const busy = tellBusy(busyBefore, await busyShare())
if (flags.write) writeResults("transport", results, { version: browser.version, busy })
if (flags.quick) console.log("a quick run: little data, few repetitions, numbers without a meaning")
printTable(results)

// ---- the rows ---------------------------------------------------------------

async function oneRow() {
  const page = await bothFilled(flags.quick ? 1_000 : ROWS)
  const count = flags.quick ? 50 : 500
  return inTurn({ page, workload: "oneRow", floor: "exchangesAwaited", options: { count }, warmUps: 5, repetitions: 40, scale: 1_000 / count })
}

function inserts(workload, floor) {
  return async () => inTurn({ page: await browser.page(), workload, floor, options: { count: flags.quick ? 200 : INSERTS }, warmUps: 3, repetitions: 15 })
}

async function writes() {
  const options = flags.quick ? { count: 2_000, size: 500 } : { count: WRITES, size: 1_000 }
  return inTurn({ page: await browser.page(), workload: "insertsInBatches", options, warmUps: 1, repetitions: 5 })
}

function largeResult(workload, key) {
  return async () => {
    const page = await bothFilled(flags.quick ? 5_000 : ROWS)
    return inTurn({ page, workload, key, options: { probe: key === "block" }, clean: true, warmUps: 3, repetitions: 11 })
  }
}

/** Ours alone has it; its rows are compared with the baseline's all the same. */
async function streamed() {
  const page = await bothFilled(flags.quick ? 5_000 : ROWS)
  const expected = await page.bench("rows", "baseline", { every: true })
  const ours = []
  for (let i = 0; i < repetitions(11) + 3; i++) {
    const { block, check } = await page.bench("streamed", "ours", { probe: true })
    deepStrictEqual(check, expected.check, "streamed rows differ from the baseline's")
    if (i >= 3) ours.push(block)
  }
  return { ours }
}

/** What the query adds to the page's process at its worst, in a new process each time. */
async function peakMemory() {
  const count = flags.quick ? 5_000 : ROWS
  const measure = async (who) => {
    const page = await browser.page()
    await page.bench("fill", who, { count })
    const memory = await browser.memoryOf(page)
    const { check } = await page.bench("rows", who, { keep: true })
    const value = memory.peak() / 1024 / 1024
    await page.close()
    return { value, check }
  }
  return alternate(BOTH, measure, { warmUps: 0, repetitions: repetitions(5) })
}

async function exports() {
  const page = await browser.page()
  return inTurn({ page, workload: "export", options: { bytes: imageBytes() }, clean: true, warmUps: 1, repetitions: 9 })
}

/** The same image for both, made by the baseline. */
async function imports() {
  const page = await browser.page()
  // While an engine is open, the browser shares its compiled code with new workers; so both are.
  for (const who of ["ours", "baseline"]) await page.bench("export", who, { bytes: imageBytes(), keep: who === "baseline" })
  return inTurn({ page, workload: "import", options: {}, clean: true, warmUps: 1, repetitions: 9 })
}

/** New page, new worker, code from the browser's caches, which the rows before have filled. */
async function opening() {
  const measure = async (who) => {
    const page = await browser.page()
    const { ms, check } = await page.bench("open", who)
    await page.close()
    return { value: ms, check }
  }
  const before = browser.requests()
  const samples = await alternate(BOTH, measure, { warmUps: 3, repetitions: repetitions(21) })
  // Pages are revalidated, code is not; otherwise this would measure the server.
  const fetched = browser.requests().slice(before.length).filter((path) => /\.(wasm|m?js)$/.test(path))
  if (!flags.only && fetched.length > 0) throw new Error(`not from the cache: ${[...new Set(fetched)].join(", ")}`)
  return samples
}

// ---- taking turns -----------------------------------------------------------

/**
 * Repetitions of one workload, in turn, in one page. With `floor`, the name of a workload that only
 * exchanges messages, that takes its turn too.
 */
async function inTurn({ page, workload, floor, options, key = "ms", scale = 1, clean = false, warmUps, repetitions: wanted }) {
  const measure = async (who) => {
    // Only where the last repetition left much: a forced collection also throws away what V8 has
    // learned about the code, and a short loop would measure how it learns again.
    if (clean) await page.collectGarbage()
    const sample = await page.bench(who === "floor" ? floor : workload, who, options)
    return { value: sample[key] * scale, check: sample.check }
  }
  const samples = await alternate(floor ? [...BOTH, "floor"] : BOTH, measure, { warmUps, repetitions: repetitions(wanted) })
  await page.close()
  return { ours: samples.ours, baseline: samples.baseline, ...(floor && { beside: { "empty messages": samples.floor } }) }
}

/** A page in which both have the same large table, and answer the same rows to the last byte. */
async function bothFilled(count) {
  const page = await browser.page()
  for (const who of ["ours", "baseline"]) await page.bench("fill", who, { count })
  const ours = await page.bench("rows", "ours", { every: true })
  const baseline = await page.bench("rows", "baseline", { every: true })
  deepStrictEqual(ours.check, baseline.check, "the rows differ")
  return page
}

function repetitions(wanted) {
  return flags.quick ? 2 : wanted
}

function imageBytes() {
  return flags.quick ? IMAGE_BYTES / 50 : IMAGE_BYTES
}
