/** From samples to a verdict: on the terminal, and in benches/RESULTS.md. */

import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { cpus, release, totalmem, type } from "node:os"
import { fileURLToPath } from "node:url"

export function median(samples) {
  return quantile(samples, 0.5)
}

/** A row as soon as it is known, with how far its samples lie apart. */
export function printRow(row) {
  const spread = (samples) => (samples ? `${figure(median(samples))} [${figure(quantile(samples, 0.25))}–${figure(quantile(samples, 0.75))}]` : "–")
  const beside = Object.entries(row.beside ?? {}).map(([name, samples]) => `${name} ${spread(samples)}`)
  console.error(`${row.name.padEnd(NAME)} ${row.unit.padEnd(4)} ours ${spread(row.ours).padEnd(24)} baseline ${spread(row.baseline).padEnd(24)} ${beside.join("  ")}`.trimEnd())
}

/**
 * One line per row, and nothing after them. A row has a name, a unit, samples of `ours` and mostly of a
 * `baseline`, and either `target`, which bounds the ratio of the two, or `below`, which bounds ours, or
 * no target. What else was measured is `beside` it, by name.
 */
export function printTable(rows) {
  const lines = rows.map(verdict)
  console.log(line({ name: "", ours: "ours", baseline: "baseline", ratio: "ratio", target: "target", met: "" }))
  for (const each of lines) console.log(line(each))
}

/**
 * Puts machine, versions and table between the marks that benches/RESULTS.md has for this benchmark.
 * `peers` says what it was measured beside.
 */
export function writeResults(benchmark, rows, { version, busy, peers = `@sqlite.org/sqlite-wasm ${installed("@sqlite.org/sqlite-wasm")}` }) {
  const file = fileURLToPath(new URL("../RESULTS.md", import.meta.url))
  const table = [
    "| | ours | baseline | ratio | target | | beside it |",
    "|---|---:|---:|---:|---:|---|---|",
    ...rows.map(verdict).map((row) => `| ${row.name} | ${row.ours} | ${row.baseline} | ${row.ratio} | ${row.target} | ${row.met === "missed" ? "**missed**" : row.met} | ${row.beside} |`),
  ]
  const facts = [
    `- ${new Date().toISOString().slice(0, 10)}, commit ${commit()}`,
    `- ${cpus().length} × ${cpus()[0].model}, ${Math.round(totalmem() / 1024 ** 3)} GB, ${type()} ${release()}`,
    `- other things kept ${busy} of the machine busy before or after the run`,
    `- Chromium ${version}, Node.js ${process.version}, ${peers}`,
  ]
  const text = readFileSync(file, "utf8")
  const [begin, end] = [`<!-- results of ${benchmark} -->`, `<!-- end of ${benchmark} -->`]
  const [before, after] = [text.indexOf(begin) + begin.length, text.indexOf(end)]
  if (!text.includes(begin) || after < before) throw new Error(`${file} lacks its marks ${begin} and ${end}`)
  writeFileSync(file, `${text.slice(0, before)}\n${facts.join("\n")}\n\n${table.join("\n")}\n${text.slice(after)}`)
}

function verdict({ name, unit, ours, baseline, beside = {}, target, below }) {
  const mine = ours && median(ours)
  const theirs = baseline && median(baseline)
  const bounds = {
    below: () => [`< ${below} ${unit}`, mine < below],
    target: () => [`≤ ${target.toFixed(2)}`, mine / theirs <= target],
    none: () => ["–", undefined],
  }
  const [bound, met] = bounds[below !== undefined ? "below" : target !== undefined ? "target" : "none"]()
  return {
    name,
    ours: ours ? `${figure(mine)} ${unit}` : "–",
    baseline: baseline ? `${figure(theirs)} ${unit}` : "–",
    ratio: ours && baseline ? ratioFigure(mine / theirs) : "–",
    target: bound,
    met: met === undefined || !ours ? "" : met ? "met" : "missed",
    beside: Object.entries(beside).map(([name, samples]) => `${name} ${figure(median(samples))} ${unit}`).join(", "),
  }
}

function line({ name, ours, baseline, ratio, target, met }) {
  return `${name.padEnd(NAME)}${ours.padStart(14)}${baseline.padStart(14)}${ratio.padStart(8)}${target.padStart(10)}  ${met}`.trimEnd()
}

function figure(value) {
  return value < 100 ? value.toFixed(1) : value.toFixed(0)
}

/** Where a target is as small as 0.02, two digits would not tell which side of it. */
function ratioFigure(ratio) {
  return ratio.toFixed(ratio < 0.1 ? 3 : 2)
}

function quantile(samples, q) {
  const sorted = samples.toSorted((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const low = Math.floor(at)
  return sorted[low] + (sorted[Math.ceil(at)] - sorted[low]) * (at - low)
}

function commit() {
  const git = (...args) => execFileSync("git", args, { encoding: "utf8", cwd: fileURLToPath(new URL(".", import.meta.url)) }).trim()
  return git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "--", "../../bindings", "../../crates", "../../proto") ? ", with changes" : "")
}

function installed(name) {
  return JSON.parse(readFileSync(fileURLToPath(new URL(`../../node_modules/${name}/package.json`, import.meta.url)), "utf8")).version
}

const NAME = 46
