/**
 * How long the main thread was deaf: a task that comes round again and again notes the longest time
 * it was kept waiting. Animation frames would round up to 16 ms, and timers to 4.
 */

export function startProbe() {
  const { port1, port2 } = new MessageChannel()
  let longest = 0
  let last = performance.now()
  let running = true
  port1.onmessage = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    if (running) port2.postMessage(null)
  }
  port2.postMessage(null)

  return {
    /** The longest block in ms. One that ends with the work is seen by the task after it. */
    async stop() {
      await new Promise((resolve) => setTimeout(resolve))
      const now = performance.now()
      running = false
      port1.close()
      return Math.max(longest, now - last)
    },
  }
}

/** Keeps the thread busy, to see that a probe sees it. */
export function busy(ms) {
  const until = performance.now() + ms
  while (performance.now() < until);
}
