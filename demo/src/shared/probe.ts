// How long the page's main thread was deaf, seen from inside the page.
//
// Three witnesses, because each misses something: a task that comes round about
// every 4 ms (any block widens the gap between two of them), the gaps between
// animation frames, and the browser's own long-task records. The block reported
// is the worst any of the first and third saw, so it is an upper bound: an idle
// page reads 4 to 6 ms, never 0.

export interface Measurement {
  readonly durationMs: number
  readonly frames: number
  readonly longestFrameMs: number
  readonly longestBlockMs: number
}

export interface Frame {
  /** Milliseconds since the probe started. */
  readonly at: number
  /** Milliseconds since the frame before. */
  readonly gap: number
}

/** Starts measuring now. `onFrame` runs inside every animation frame. */
export function startProbe(onFrame?: (frame: Frame) => void): { stop(): Promise<Measurement> } {
  const startedAt = performance.now()
  let running = true
  let frames = 0
  let longestFrameMs = 0
  let longestBlockMs = 0
  let lastFrameAt = startedAt
  let lastSignAt = startedAt

  const channel = new MessageChannel()
  const signOfLife = () => {
    const now = performance.now()
    longestBlockMs = Math.max(longestBlockMs, now - lastSignAt)
    lastSignAt = now
  }
  channel.port1.onmessage = () => {
    signOfLife()
    // A timer between two messages keeps the probe from being the load it measures.
    if (running) setTimeout(() => channel.port2.postMessage(0), TASK_PAUSE_MS)
  }
  channel.port2.postMessage(0)

  const frameStep = () => {
    if (!running) return
    signOfLife()
    const now = lastSignAt
    const gap = now - lastFrameAt
    lastFrameAt = now
    frames += 1
    longestFrameMs = Math.max(longestFrameMs, gap)
    onFrame?.({ at: now - startedAt, gap })
    requestAnimationFrame(frameStep)
  }
  requestAnimationFrame(frameStep)

  const onLongTasks = (entries: PerformanceEntryList) => {
    for (const entry of entries) {
      if (entry.startTime >= startedAt) longestBlockMs = Math.max(longestBlockMs, entry.duration)
    }
  }
  const longTasks = watchLongTasks(onLongTasks)

  return {
    async stop() {
      // A block that ends with the work is only seen by the task and frame after it.
      await nextFrame()
      signOfLife()
      if (longTasks) onLongTasks(longTasks.takeRecords())
      running = false
      longTasks?.disconnect()
      channel.port1.close()
      return { durationMs: performance.now() - startedAt, frames, longestFrameMs, longestBlockMs }
    },
  }
}

/** Lets the page draw and handle input, then goes on. */
export function yieldToPage(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(0)
  })
}

/** The next animation frame; a hidden page has none, so a timer stands in. */
export function nextFrame(): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, HIDDEN_PAGE_FRAME_MS)
    requestAnimationFrame(() => {
      clearTimeout(timer)
      setTimeout(resolve, 0)
    })
  })
}

function watchLongTasks(onEntries: (entries: PerformanceEntryList) => void): PerformanceObserver | undefined {
  if (!PerformanceObserver.supportedEntryTypes.includes("longtask")) return undefined
  const observer = new PerformanceObserver((list) => onEntries(list.getEntries()))
  observer.observe({ type: "longtask" })
  return observer
}

const TASK_PAUSE_MS = 2
const HIDDEN_PAGE_FRAME_MS = 250
