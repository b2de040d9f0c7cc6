/**
 * The engine with its database in OPFS beside the straight way and the official build's own store, in
 * one run, in a real Chromium, on files on disk.
 *
 *   node benches/save/run.mjs [--quick] [--only WORD] [--write] [--dist DIR] [--peers]
 *
 * --quick  few repetitions and small data, to see that everything runs; its numbers mean nothing
 * --only   the parts whose name holds this word: saves, inserts, opening, edits
 * --write  renews the table in benches/RESULTS.md
 * --dist   another build of bindings/ts, to compare two
 * --peers  the peers alone
 *
 * All take turns, repetition by repetition, so that whatever else the machine does meets all. What they
 * hold is compared; a difference, and nothing else, makes the run fail.
 */

import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { startBrowser } from "../shared/browser.mjs"
import { median, printRow, printTable, writeResults } from "../shared/report.mjs"
import { alternate, busyShare, checkProbe, tellBusy } from "../shared/turns.mjs"
import { countWrites, written } from "./count-writes.mjs"

const { values: flags } = parseArgs({
  options: { quick: { type: "boolean" }, only: { type: "string" }, write: { type: "boolean" }, dist: { type: "string" }, peers: { type: "boolean" } },
})

const MB = 1_000_000
const SIZES = flags.quick ? [1, 2] : [1, 10, 100, 400]
const OPENED = flags.quick ? [1, 2] : [50, 100]
const EDITED = flags.quick ? 2 : 50
const INSERTS = flags.quick ? 50 : 1_000
const INSERT_ROWS = [
  { workload: "insertsAwaited", floor: "exchangesAwaited", how: "", targets: [0.2, 0.8, 0.1] },
  { workload: "insertsPipelined", floor: "exchangesPipelined", how: " pipelined" },
]
const OURS = new Set(["relaxed", "strict", "hasty"])

const parts = { saves, inserts, opening, edits }

const busyBefore = await busyShare()
const browser = await startBrowser({ page: fileURLToPath(new URL("page", import.meta.url)), dist: flags.dist })
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
if (flags.write) writeResults("save", results, { version: browser.version, busy })
if (flags.quick) console.log("a quick run: little data, few repetitions, numbers without a meaning")
printTable(results)

function row(row) {
  results.push(row)
  printRow(row)
}

// ---- the parts --------------------------------------------------------------

/** One row in one commit, until it is stored, in databases of several sizes. */
async function saves() {
  const all = names("relaxed", "straight", "sahpool", "wal")
  const bySize = []
  for (const size of SIZES) {
    const page = await browser.page()
    const firstBlocks = await alternate(all, async (who) => {
      await page.bench("open", who, { path: `saves-${size}` })
      const { block, check } = await page.bench("fill", who, { bytes: size * MB, probe: true })
      return { value: block, check }
    }, { warmUps: 0, repetitions: 1 })

    // The straight way takes seconds; the others need many for a median.
    const timesOf = (who, times) => (who === "straight" ? 1 : times)
    const times = await alternate(all, async (who) => {
      const { samples } = await page.bench("saveRow", who, { times: timesOf(who, 10) })
      return { value: samples }
    }, { warmUps: 1, repetitions: repetitions(size < 100 ? 9 : 5) })
    const bytes = await alternate(all, async (who) => {
      const times = timesOf(who, 50)
      await page.inWorkers(countWrites)
      await page.bench("saveRow", who, { times })
      return { value: sum(await page.inWorkers(written)) / times / 1024 }
    }, { warmUps: 0, repetitions: 1 })
    const blocks = await alternate(all, async (who) => {
      const { block } = await page.bench("saveRow", who, { times: timesOf(who, 50), probe: true })
      return { value: block }
    }, { warmUps: 0, repetitions: repetitions(size < 100 ? 5 : 3) })

    row({ name: `save of one row, ${size} MB`, unit: "ms", ...sides(times) })
    row({ name: "… bytes written", unit: "KiB", ...sides(bytes) })
    bySize.push({ size, times, bytes, blocks, firstBlocks })
    for (const who of all) await page.bench("close", who)
    await page.close()
  }

  const largest = bySize.at(-1)
  if (!flags.peers) {
    row({ name: "save of one row, slowest / fastest size", unit: "ms", ...extremes(bySize.map(({ times }) => times.relaxed)), target: 2 })
    row({ name: "… bytes, most / least", unit: "KiB", ...extremes(bySize.map(({ bytes }) => bytes.relaxed)), target: 2 })
    row({ name: `longest block of the page, saves at ${largest.size} MB`, unit: "ms", ...sides(largest.blocks), below: 50 })
    row({ name: "… first save of all of it", unit: "ms", ...sides(largest.firstBlocks), below: 50 })
  }
  await memory(largest.size)
}

/** What opening, one commit and its save add to the page's process at its worst. */
async function memory(size) {
  const all = names("relaxed", "straight", "sahpool")
  const kept = Object.fromEntries(all.map((who) => [who, []]))
  const peak = await alternate(all, async (who) => {
    const page = await browser.page()
    const memory = await browser.memoryOf(page)
    await page.bench("open", who, { path: `saves-${size}` })
    await page.bench("saveRow", who, { times: 1 })
    kept[who].push(memory.now() / 1024 / 1024)
    const value = memory.peak() / 1024 / 1024
    await page.bench("close", who)
    await page.close()
    return { value }
  }, { warmUps: 0, repetitions: repetitions(2) })
  row({ name: `peak memory of open and save, ${size} MB`, unit: "MiB", ...sides(peak) })
  row({ name: "… afterwards", unit: "MiB", ...sides(kept) })
}

/** Autocommitted inserts, end to end. */
async function inserts() {
  const all = names("strict", "relaxed", "sahpool", "wal")
  const page = await browser.page()
  for (const who of all) await page.bench("open", who, { path: "inserts" })
  for (const { workload, floor, how, targets } of INSERT_ROWS) {
    const measure = async (who) => {
      const { ms, check } = await page.bench(who === "floor" ? floor : workload, who, { count: INSERTS })
      return { value: ms, check }
    }
    const { strict, relaxed, sahpool, wal, floor: exchanges } = await alternate([...all, "floor"], measure, { warmUps: 2, repetitions: repetitions(7) })
    const many = INSERTS.toLocaleString("en")
    const beside = { "empty messages": exchanges }
    row({ name: `${many} inserts${how}, strict / sahpool`, unit: "ms", ours: strict, baseline: sahpool, target: targets?.[0], beside })
    row({ name: `${many} inserts${how}, strict / sahpool WAL`, unit: "ms", ours: strict, baseline: wal, target: targets?.[1], beside })
    row({ name: `${many} inserts${how}, relaxed / sahpool`, unit: "ms", ours: relaxed, baseline: sahpool, target: targets?.[2], beside })
  }
  await page.close()
}

/** A stored database: new page, new worker, code from the browser's caches. */
async function opening() {
  const all = names("relaxed", "straight", "sahpool")
  for (const size of OPENED) {
    await stored(all, `opening-${size}`, size)
    const samples = await alternate(all, async (who) => {
      const page = await browser.page()
      const { ms, check } = await page.bench("firstAnswer", who, { path: `opening-${size}`, id: 17 })
      await page.close()
      return { value: ms, check }
    }, { warmUps: 3, repetitions: repetitions(9) })
    row({ name: `open ${size} MB to the first answer`, unit: "ms", ...sides(samples), target: 0.6 })
  }
}

/** Leaves a closed database of this size for each. */
async function stored(all, path, size) {
  const page = await browser.page()
  await alternate(all, async (who) => {
    await page.bench("open", who, { path })
    const { check } = await page.bench("fill", who, { bytes: size * MB })
    await page.bench("close", who)
    return { check }
  }, { warmUps: 0, repetitions: 1 })
  await page.close()
}

/** Edits that come while a save is under way. */
async function edits() {
  const page = await browser.page()
  for (const who of names("relaxed", "hasty", "straight")) {
    await page.bench("open", who, { path: "edits" })
    await page.bench("fill", who, { bytes: EDITED * MB })
  }
  const slowest = async (all, workload, options, wanted) => {
    const measure = async (who) => ({ value: (await page.bench(workload, who, options)).worst })
    return alternate(all, measure, { warmUps: 1, repetitions: repetitions(wanted) })
  }
  const small = await slowest(names("relaxed", "straight"), "editsWhileSaving", { ms: 700, pauseMs: 20 }, 7)
  row({ name: `slowest edit while saving, ${EDITED} MB`, unit: "ms", ...sides(small), target: 0.2 })
  const { hasty, straight } = await slowest(names("hasty", "straight"), "editsWhileSavingAll", {}, 7)
  row({ name: "… after all of it has changed", unit: "ms", ours: hasty, baseline: straight, target: 0.2 })
  await page.close()
}

// ---- from samples by name to rows -------------------------------------------

function names(...all) {
  return all.filter((name) => !flags.peers || !OURS.has(name))
}

/** Ours, the straight way as the baseline, and the rest beside it. */
function sides({ relaxed, straight, sahpool, wal }) {
  const beside = { ...(sahpool && { sahpool }), ...(wal && { "sahpool WAL": wal }) }
  return { ours: relaxed, baseline: straight, beside }
}

/** The samples with the highest median as ours, those with the lowest as the baseline. */
function extremes(several) {
  const sorted = several.toSorted((a, b) => median(a) - median(b))
  return { ours: sorted.at(-1), baseline: sorted[0] }
}

function repetitions(wanted) {
  return flags.quick ? 2 : wanted
}

function sum(numbers) {
  return numbers.reduce((a, b) => a + b, 0)
}
