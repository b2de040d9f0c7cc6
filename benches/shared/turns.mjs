/** Taking turns, and whether what was measured can be believed. */

import { deepStrictEqual } from "node:assert"
import { cpus } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { median } from "./report.mjs"

/**
 * Asks `measure(who)` for each of `names` in turn, again and again, and returns the samples by name. It
 * answers `{ value, check }`: a sample or a list of them; and what must be equal for all.
 */
export async function alternate(names, measure, { warmUps, repetitions }) {
  const samples = Object.fromEntries(names.map((name) => [name, []]))
  for (let i = 0; i < warmUps + repetitions; i++) {
    let first
    for (const who of names) {
      const { value, check } = await measure(who)
      if (check !== undefined) {
        first ??= { who, check }
        deepStrictEqual(check, first.check, `${who} answers differently from ${first.who}`)
      }
      if (i >= warmUps) samples[who].push(...[value].flat())
    }
  }
  return samples
}

/** A known block must be seen as it is, or no other is to be believed. */
export async function checkProbe(browser) {
  const page = await browser.page()
  const block = async (ms) => (await page.bench("knownBlock", "nobody", { ms })).block
  const blocks = []
  for (let i = 0; i < 5; i++) blocks.push(await block(40))
  const idle = await block(0)
  const seen = median(blocks)
  if (!(Math.min(...blocks) >= 39.8 && seen < 60)) throw new Error(`the probe saw ${blocks} where the page was busy for 40 ms`)
  console.error(`probe: saw ${seen.toFixed(1)} ms of a known 40, ${idle.toFixed(1)} ms of an idle page`)
  await page.close()
}

/** How much of all processors is in use while this program waits. */
export async function busyShare() {
  const times = () => cpus().reduce(({ idle, all }, { times }) => ({ idle: idle + times.idle, all: all + Object.values(times).reduce((a, b) => a + b) }), { idle: 0, all: 0 })
  const before = times()
  await sleep(1_000)
  const after = times()
  return 1 - (after.idle - before.idle) / (after.all - before.all)
}

/** Says so where the run is not to be trusted, and answers it as text. */
export function tellBusy(...shares) {
  const busy = Math.max(...shares)
  const text = `${Math.round(busy * 100)} %`
  console.error(`before or after, other things kept ${text} of the machine busy${busy > 0.1 ? "; do not trust these numbers" : ""}`)
  return text
}
