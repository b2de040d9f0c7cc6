/**
 * Change control: ours beside two releases of npm's `@lix-js/sdk`, in one run, in a real Chromium, and
 * the native engine alone.
 *
 *   node benches/state/run.mjs [--quick] [--only WORD] [--write] [--dist DIR] [--native FILE] [--peers | --ours]
 *
 * --quick   few repetitions and small data, to see that everything runs; its numbers mean nothing
 * --only    the parts whose name holds this word: opening, singles, sizes, bulk, history, versions, commits, storage, native
 * --write   renews the table in benches/RESULTS.md
 * --dist    another build of bindings/ts, to compare two
 * --native  another build of the native engine
 * --peers   the peers alone
 * --ours    ours alone
 *
 * All take turns, repetition by repetition, so that whatever else the machine does meets all. Each has
 * to answer what was written; a wrong answer, and nothing else, makes the run fail.
 */

import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { startBrowser } from "../shared/browser.mjs"
import { median, printRow, printTable, writeResults } from "../shared/report.mjs"
import { alternate, busyShare, tellBusy } from "../shared/turns.mjs"
import { openNative } from "./native.mjs"
import { createWorkloads } from "./page/workloads.js"
import { bundledPeers } from "./peers/bundle.mjs"

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean" },
    only: { type: "string" },
    write: { type: "boolean" },
    dist: { type: "string" },
    native: { type: "string", default: fromHere("../../target/release/lix-engine") },
    peers: { type: "boolean" },
    ours: { type: "boolean" },
  },
})

/** What bounds the ratio to a peer: a row that is one statement or one read, and one of volume. */
const SINGLE = { sdk17: 0.25, sdk05: 0.02 }
const BULK = { sdk17: 0.5, sdk05: 0.02 }
const PEERS = { sdk17: "0.17.0", sdk05: "0.5.1" }

// 0.5.1 fails beyond some 500 changed rows in one commit, and takes minutes for long histories.
const FEW = flags.quick ? 20 : 100
const FEW_INSERTS = flags.quick ? 20 : 300
const FEW_COMMITS = flags.quick ? 3 : 20
const SMALL = flags.quick ? 100 : 1_000
const LARGE = flags.quick ? 2_000 : 100_000
const LARGEST = flags.quick ? 5_000 : 1_000_000
const EDITS = flags.quick ? 10 : 100
const LONG = flags.quick ? 200 : 10_000
const BULKS = flags.quick ? [50, 200] : [1_000, 10_000]
/** Rows to a statement, and so to a commit, where data is only made. */
const EACH = { ours: 10_000, sdk17: 10_000, sdk05: 100 }

const parts = { opening, singles, sizes, bulk, history, versions, commits, storage, native }

const busyBefore = await busyShare()
const browser = await startBrowser({ page: fromHere("page"), folders: { "/peers/": await bundledPeers() }, dist: flags.dist })
const results = []
try {
  for (const [name, measure] of Object.entries(parts)) {
    if (name.includes(flags.only ?? "")) await measure()
  }
} finally {
  await browser.close()
}
const busy = tellBusy(busyBefore, await busyShare())
if (flags.write) writeResults("state", results, { version: browser.version, busy, peers: "@lix-js/sdk 0.5.1 and 0.17.0" })
if (flags.quick) console.log("a quick run: little data, few repetitions, numbers without a meaning")
printTable(results)

// ---- the parts, in the browser ----------------------------------------------

/** From nothing, and from bytes, to the first answer. */
async function opening() {
  const everybody = names("ours", "sdk17", "sdk05")
  const inNewPage = await alternate(everybody, async (who) => {
    const page = await browser.page()
    const { ms } = await page.bench("openNew", who)
    await page.close()
    return { value: ms }
  }, { warmUps: flags.quick ? 0 : 2, repetitions: wanted(9) })
  lines("open new, in a new page", "ms", inNewPage, { targets: SINGLE })

  const page = await browser.page()
  // While one is open, the browser shares its compiled code with the next.
  for (const who of everybody) await page.bench("open", who)
  const fresh = await turns(page, [...everybody, ...names("oursHere")], "openNew", {}, { warmUps: 2, repetitions: 9 })
  lines("open new, beside an open one", "ms", fresh, { targets: SINGLE, below: 50 })

  const existing = async (all, size) => {
    for (const who of all) {
      await fill(page, who, size)
      await page.bench("keepImage", who)
    }
    const samples = await turns(page, all, "openExisting", { key: size - 1 }, { warmUps: 1, repetitions: 7 })
    lines(`open existing, ${entities(size)}`, "ms", samples, { targets: SINGLE })
  }
  await existing(names("ours", "sdk05"), SMALL)
  await existing(names("ours", "sdk17"), LARGE)
  await page.close()
}

/** One statement, awaited, in a lix of a thousand. */
async function singles() {
  const all = names("ours", "sdk17", "sdk05")
  const page = await filled(all, SMALL)
  const measure = (workload, count, floor) => {
    const optionsOf = (who) => ({ size: SMALL, count: who === "sdk05" ? Math.ceil(count / 20) : count })
    return turns(page, floor ? [...all, "floor"] : all, workload, optionsOf, { warmUps: 3, repetitions: 15 })
  }
  lines("one tracked insert", "µs", inMicroseconds(await measure("inserts", 40, true)), { targets: SINGLE, below: 1_000 })
  lines(`read by key, ${entities(SMALL)}`, "µs", inMicroseconds(await measure("reads", 100, true)), { targets: SINGLE })
  lines("update of one", "µs", inMicroseconds(await measure("updates", 40)), { targets: SINGLE })
  lines("delete of one", "µs", inMicroseconds(await measure("removes", 40)), { targets: SINGLE })
  lines(`list one schema, ${entities(SMALL)}`, "ms", await measure("list", 1), { targets: SINGLE })
  await page.close()
}

/** Whether it matters how many there are: all sizes are there at once and take turns. */
async function sizes() {
  const sized = [...names("ours").flatMap((who) => [SMALL, LARGE, LARGEST].map((size) => `${who}:${size}`)), ...names("sdk17").map((who) => `${who}:${LARGE}`)]
  const page = await browser.page()
  for (const who of sized) await fill(page, who, sizeOf(who))
  const reads = inMicroseconds(await turns(page, sized, "reads", (who) => ({ size: sizeOf(who), count: 100 }), { warmUps: 3, repetitions: 15 }))
  const inserts = inMicroseconds(await turns(page, sized, "inserts", () => ({ count: 40 }), { warmUps: 3, repetitions: 15 }))
  const listed = await turns(page, sized.filter((who) => sizeOf(who) === LARGE), "list", { size: LARGE }, { warmUps: 1, repetitions: 5 })

  const atSize = (samples, size) => ({ ours: samples[`ours:${size}`], sdk17: samples[`sdk17:${size}`] })
  // The smallest is among the singles, beside both peers.
  for (const size of [LARGE, LARGEST]) lines(`read by key, ${entities(size)}`, "µs", atSize(reads, size), { targets: SINGLE })
  lines(`list one schema, ${entities(LARGE)}`, "ms", atSize(listed, LARGE), { targets: SINGLE })
  if (!flags.peers) {
    flatness("", reads, inserts)
    const { [`ours:${LARGE}`]: rebuilt } = await turns(page, [`ours:${LARGE}`], "rebuild", { size: LARGE }, { warmUps: 0, repetitions: 3 })
    row({ name: `rebuild, ${entities(LARGE)}`, unit: "ms", ours: rebuilt })
  }
  await page.close()
}

/** Many rows in one commit. */
async function bulk() {
  const page = await browser.page()
  // So that opening, which each repetition does, is quick.
  for (const who of names("ours", "sdk17", "sdk05")) await page.bench("open", who)
  const measure = async (name, workload, below) => {
    for (const count of BULKS) {
      const samples = await turns(page, names("ours", "sdk17"), workload, { count }, { warmUps: 1, repetitions: 5 })
      lines(`${count.toLocaleString("en")} ${name}`, "ms", samples, { targets: BULK, below: count === BULKS.at(-1) ? below : undefined })
    }
    const samples = await turns(page, names("ours", "sdk05"), workload, { count: FEW_INSERTS }, { warmUps: 1, repetitions: 3 })
    lines(`${FEW_INSERTS} ${name}`, "ms", samples, { targets: BULK })
  }
  await measure("inserts, one transaction", "insertEach", 2_000)
  await measure("inserts, one statement", "insertAll")
  await page.close()
}

/** One entity, looked at through many commits. */
async function history() {
  const measure = async (all, commits, repetitions, below) => {
    const page = await filled(all, FEW)
    for (const who of all) await page.bench("edit", who, { key: "key 3", count: commits })
    const optionsOf = (who) => ({ key: "key 3", count: commits, times: who === "ours" ? 10 : 1 })
    const samples = await turns(page, all, "history", optionsOf, { warmUps: 1, repetitions })
    lines(`history of one, ${commits} commits`, "ms", samples, { targets: SINGLE, below })
    await page.close()
  }
  await measure(names("ours", "sdk17"), EDITS, 11, 20)
  await measure(names("ours", "sdk05"), FEW_COMMITS, 3)
}

async function versions() {
  const all = names("ours", "sdk17", "sdk05")
  const page = await filled(all, SMALL)
  const measure = (workload, options = {}) =>
    turns(page, all, workload, (who) => ({ times: who === "sdk05" ? 2 : 10, ...options }), { warmUps: 1, repetitions: 7 })
  lines("create version", "ms", await measure("createVersion"), { targets: SINGLE, below: 5 })
  lines("switch version", "ms", await measure("switches"), { targets: SINGLE, below: 5 })
  lines("switch version, to the first read", "ms", await measure("switches", { key: "key 17" }), { targets: SINGLE })
  await page.close()

  const changed = async (all, size, repetitions, below) => {
    const page = await filled(all, size)
    const many = size.toLocaleString("en")
    lines(`merge, ${many} changed`, "ms", await turns(page, all, "merge", { size }, { warmUps: 1, repetitions }), { targets: BULK, below })
    const diffs = Object.fromEntries(all.map((who) => [who, []]))
    const checkpoints = await alternate(all, async (who) => {
      const { ms, diff } = await page.bench("checkpoint", who, { size })
      diffs[who].push(diff)
      return { value: ms }
    }, { warmUps: 0, repetitions: wanted(repetitions) + 1 })
    lines(`working diff, ${many} changed`, "ms", without(diffs, 1), { targets: SINGLE })
    lines(`checkpoint, ${many} changed`, "ms", without(checkpoints, 1), { targets: SINGLE })
    await page.close()
  }
  await changed(names("ours", "sdk17"), SMALL, 7, 80)
  await changed(names("ours", "sdk05"), FEW, 2)
}

/** One commit after few and after many. */
async function commits() {
  if (flags.peers) return
  const page = await browser.page()
  await page.bench("open", "ours")
  await page.bench("inserts", "ours", { count: LONG })
  const samples = await afterCommits((...args) => page.bench(...args), "ours", "ours:fresh")
  row({ name: `one commit after ${LONG.toLocaleString("en")} / after 10`, unit: "µs", ...samples, target: 2 })
  await page.close()
}

/** What a change costs in the file. */
async function storage() {
  const grown = async (page, who, { to, each }) => {
    await page.bench("open", who)
    const { bytes: before } = await page.bench("keepImage", who)
    await page.bench("fill", who, { to, each })
    const { bytes } = await page.bench("keepImage", who)
    await page.bench("close", who)
    return { all: [bytes / to], added: [(bytes - before) / to] }
  }
  for (const [each, counts] of [[100, { ours: LARGE, sdk17: LARGE, sdk05: SMALL }], [1, { ours: LONG, sdk17: SMALL, sdk05: FEW }]]) {
    const page = await browser.page()
    const bytes = {}
    for (const who of names("ours", "sdk17", "sdk05")) bytes[who] = await grown(page, who, { to: counts[who], each })
    const same = flags.peers ? undefined : await grown(page, "ours", { to: counts.sdk05, each })
    row({
      name: `bytes per change, ${each} to a commit / 0.5.1`,
      unit: "B",
      // Of ours everything counts, of the peer only what was added to a new lix.
      ours: bytes.ours?.all,
      baseline: bytes.sdk05?.added,
      beside: { ...(same && { "ours, as few": same.added }), ...(bytes.sdk17 && { "0.17.0": bytes.sdk17.all }) },
      target: 1 / 3,
    })
    await page.close()
  }
}

// ---- natively, alone --------------------------------------------------------

async function native() {
  if (flags.peers) return
  const run = createWorkloads({ ours: () => openNative(flags.native) })
  const page = { bench: (workload, who, options) => run(workload, who, options) }
  const measure = (workload, options, { warmUps = 1, repetitions = 7 } = {}) => turns(page, ["ours"], workload, options, { warmUps, repetitions })
  const line = (name, unit, samples, bounds = {}) => row({ name: `natively: ${name}`, unit, ours: samples.ours, ...bounds })

  line("open new", "ms", await measure("openNew", {}))
  await run("close", "ours")
  const sized = [SMALL, LARGE, LARGEST].map((size) => `ours:${size}`)
  for (const who of sized) await fill(page, who, sizeOf(who))
  const reads = inMicroseconds(await turns(page, sized, "reads", (who) => ({ size: sizeOf(who), count: 500 }), { warmUps: 3, repetitions: 15 }))
  const inserts = inMicroseconds(await turns(page, sized, "inserts", () => ({ count: 200 }), { warmUps: 3, repetitions: 15 }))
  for (const who of sized) {
    const size = sizeOf(who)
    const only = async (workload, options, repetitions, warmUps = 1) => ({ ours: (await turns(page, [who], workload, options, { warmUps, repetitions }))[who] })
    line(`read by key, ${entities(size)}`, "µs", { ours: reads[who] })
    line(`insert, ${entities(size)}`, "µs", { ours: inserts[who] })
    line(`list one schema, ${entities(size)}`, "ms", await only("list", { size }, 3))
    if (size > SMALL) {
      line(`rebuild, ${entities(size)}`, "ms", await only("rebuild", { size }, 1, 0))
    } else {
      line("update of one", "µs", inMicroseconds(await only("updates", { size, count: 200 }, 7)))
      line("delete of one", "µs", inMicroseconds(await only("removes", { count: 200 }, 7)))
      line("create version", "ms", await only("createVersion", { times: 10 }, 7))
      line("switch version", "ms", await only("switches", { times: 10 }, 7))
    }
    await run("close", who)
  }
  flatness("natively: ", reads, inserts)

  for (const count of BULKS) line(`${count.toLocaleString("en")} inserts, one transaction`, "ms", await measure("insertEach", { count }, { repetitions: 5 }))
  for (const count of BULKS) line(`${count.toLocaleString("en")} inserts, one statement`, "ms", await measure("insertAll", { count }, { repetitions: 5 }))

  await run("open", "ours")
  await run("fill", "ours", { to: SMALL, each: SMALL })
  await run("edit", "ours", { key: "key 3", count: EDITS })
  line(`history of one, ${EDITS} commits`, "ms", await measure("history", { key: "key 3", count: EDITS, times: 10 }))
  line(`merge, ${SMALL.toLocaleString("en")} changed`, "ms", await measure("merge", { size: SMALL }))
  line(`checkpoint, ${SMALL.toLocaleString("en")} changed`, "ms", await measure("checkpoint", { size: SMALL }))
  await run("close", "ours")

  await run("open", "ours")
  await run("inserts", "ours", { count: LONG })
  const samples = await afterCommits(run, "ours", "ours:fresh")
  row({ name: `natively: a commit after ${LONG.toLocaleString("en")} / 10`, unit: "µs", ...samples, target: 2 })
  await run("close", "ours")
}

// ---- measuring --------------------------------------------------------------

/** A page in which each has so many entities. */
async function filled(all, size) {
  const page = await browser.page()
  for (const who of all) await fill(page, who, size)
  return page
}

/** Opens a lix of so many entities. A name may have a part of its own behind a colon. */
async function fill(page, who, size) {
  await page.bench("open", who)
  await page.bench("fill", who, { to: size, each: EACH[who.split(":")[0]] })
}

function sizeOf(who) {
  return Number(who.split(":")[1])
}

/** Samples by name. `options` are the same for all, or a function of the name. */
async function turns(page, all, workload, options, { warmUps, repetitions }) {
  const measure = async (who) => {
    const given = typeof options === "function" ? options(who) : options
    if (who === "floor") {
      const { ms } = await page.bench("exchangesAwaited", who, { count: given.count })
      return { value: ms / given.count }
    }
    return { value: (await page.bench(workload, who, given)).ms }
  }
  return alternate(all, measure, { warmUps: flags.quick ? 0 : warmUps, repetitions: wanted(repetitions) })
}

/** One commit in a lix with many behind it, and in a new one with ten. */
async function afterCommits(bench, who, fresh) {
  const measure = async (each) => {
    if (each === fresh) await bench("open", fresh)
    // The ten; and both have just worked when it counts.
    await bench("inserts", each, { count: 10 })
    const { ms } = await bench("inserts", each, { count: 20 })
    return { value: ms * 1_000 }
  }
  const samples = await alternate([who, fresh], measure, { warmUps: 2, repetitions: wanted(15) })
  await bench("close", fresh)
  return { ours: samples[who], baseline: samples[fresh] }
}

function wanted(repetitions) {
  return flags.quick ? 2 : repetitions
}

// ---- from samples by name to rows -------------------------------------------

/** A row for each peer that was measured, and one for what bounds ours. */
function lines(name, unit, { ours, floor, oursHere, ...peers }, { targets = {}, below }) {
  const beside = { ...(floor && { "empty messages": floor }), ...(oursHere && { "in the page's thread": oursHere }) }
  for (const [who, release] of Object.entries(PEERS)) {
    if (peers[who]) row({ name: `${name} / ${release}`, unit, ours, baseline: peers[who], target: targets[who], beside })
  }
  if (!ours) return
  if (below !== undefined) row({ name, unit, ours, below, beside })
  else if (!Object.keys(PEERS).some((who) => peers[who])) row({ name, unit, ours, beside })
}

function row(row) {
  results.push(row)
  printRow(row)
}

function names(...all) {
  return all.filter((name) => !(name in PEERS ? flags.ours : flags.peers))
}

/** Whether reads and inserts cost the same at every size. */
function flatness(where, reads, inserts) {
  const ours = (samples) => Object.entries(samples).filter(([who]) => who.startsWith("ours")).map(([, all]) => all)
  row({ name: `${where}read by key, slowest / fastest size`, unit: "µs", ...extremes(ours(reads)), target: 2 })
  row({ name: `${where}insert, slowest / fastest size`, unit: "µs", ...extremes(ours(inserts)), target: 2 })
}

/** The samples with the highest median as ours, those with the lowest as the baseline. */
function extremes(several) {
  const sorted = several.toSorted((a, b) => median(a) - median(b))
  return { ours: sorted.at(-1), baseline: sorted[0] }
}

function inMicroseconds(samples) {
  return mapped(samples, (all) => all.map((ms) => ms * 1_000))
}

/** Leaves out the first ones, which only warmed up. */
function without(samples, count) {
  return mapped(samples, (all) => all.slice(count))
}

function mapped(samples, change) {
  return Object.fromEntries(Object.entries(samples).map(([who, all]) => [who, change(all)]))
}

function entities(count) {
  return `${count.toLocaleString("en")} entities`
}

function fromHere(path) {
  return fileURLToPath(new URL(path, import.meta.url))
}
