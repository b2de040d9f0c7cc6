/** Clocks, and what both benchmarks do without an engine. */

import { busy, startProbe } from "./probe.js"

/** Takes the time, or watches for blocks: the probe is work too, so not both. */
export function startWatch(probe = false) {
  if (probe) {
    const running = startProbe()
    return { stop: async () => ({ block: await running.stop() }) }
  }
  const start = performance.now()
  return { stop: () => ({ ms: performance.now() - start }) }
}

/** A busy loop, for the probe to find. */
export async function knownBlock(_, { ms }) {
  const watch = startWatch(true)
  await new Promise((resolve) => setTimeout(resolve, 20))
  busy(ms)
  await new Promise((resolve) => setTimeout(resolve, 20))
  return watch.stop()
}

/** Messages there and back with nothing in them, each awaited: no engine can be faster. */
export async function exchangesAwaited(_, { count }) {
  const { exchange, worker } = await openEcho()
  const watch = startWatch()
  for (let i = 0; i < count; i++) await exchange()
  const result = watch.stop()
  worker.terminate()
  return result
}

/** The same, sent without waiting. */
export async function exchangesPipelined(_, { count }) {
  const { exchange, worker } = await openEcho()
  const watch = startWatch()
  await Promise.all(Array.from({ length: count }, exchange))
  const result = watch.stop()
  worker.terminate()
  return result
}

/** A worker that sends back what it gets. */
async function openEcho() {
  const worker = new Worker(new URL("./echo-worker.js", import.meta.url), { type: "module" })
  const waiting = []
  worker.onmessage = ({ data }) => waiting.shift()(data)
  const exchange = () =>
    new Promise((resolve) => {
      waiting.push(resolve)
      worker.postMessage(null)
    })
  await exchange()
  return { worker, exchange }
}
