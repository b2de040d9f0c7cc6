// Two lanes, one per thread: what the page could draw while the engine wrote.
//
// A lane records, it does not act: every animation frame adds one point of a wave
// and one bar of frame time. What was not drawn is a hole, and holes are red.
import { type Frame, type Measurement, startProbe } from "../shared/probe.ts"
import { TOTAL_ROWS } from "./workload.ts"

export class Lane {
  readonly #root: HTMLElement
  readonly #canvas: HTMLCanvasElement
  readonly #figures: Record<"block" | "frame" | "drawn" | "rate", HTMLElement>
  readonly #state: HTMLElement
  #frames: Frame[] = []
  #durationMs = 0
  #scaleMs = INITIAL_SCALE_MS
  #running = false

  constructor(root: HTMLElement, title: string, subtitle: string) {
    this.#root = root
    root.innerHTML = `
      <header>
        <h3 id="${root.id}-title">${title}</h3>
        <p>${subtitle}</p>
        <span class="lane-state">not run yet</span>
      </header>
      <div class="lane-body">
        <div class="headline">
          <span class="big" data-figure="block">–</span><span class="unit">ms</span>
          <span class="what">longest main-thread block</span>
        </div>
        <canvas role="img"></canvas>
        <dl>
          <div><dt>longest frame</dt><dd data-figure="frame">–</dd></div>
          <div><dt>frames drawn</dt><dd data-figure="drawn">–</dd></div>
          <div><dt>rows a second</dt><dd data-figure="rate">–</dd></div>
        </dl>
      </div>`
    this.#canvas = root.querySelector("canvas")!
    this.#state = root.querySelector(".lane-state")!
    const figure = (name: string) => root.querySelector<HTMLElement>(`[data-figure=${name}]`)!
    this.#figures = { block: figure("block"), frame: figure("frame"), drawn: figure("drawn"), rate: figure("rate") }
    new ResizeObserver(() => this.draw()).observe(this.#canvas)
  }

  /** Records frames while `work` runs and shows the result, or the failure. */
  async record(work: (onProgress: (rows: number) => void) => Promise<void>): Promise<Measurement> {
    this.#frames = []
    this.#durationMs = 0
    this.#scaleMs = INITIAL_SCALE_MS
    this.#running = true
    this.#show("running", "starting…")
    delete this.#root.dataset["longestBlockMs"]
    const probe = startProbe((frame) => {
      this.#frames.push(frame)
      this.#durationMs = frame.at
      if (frame.at > this.#scaleMs) this.#scaleMs = frame.at * 1.25
      this.#drawNow()
    })
    const startedAt = performance.now()
    let failure: unknown
    try {
      await work((rows) => (this.#state.textContent = `${rows.toLocaleString("en")} rows`))
    } catch (error) {
      failure = error
    }
    const workMs = performance.now() - startedAt
    const measured = await probe.stop()
    this.#running = false
    this.#durationMs = measured.durationMs
    if (failure !== undefined) {
      this.#show("failed", failure instanceof Error ? failure.message : String(failure))
      throw failure
    }
    this.#figures.block.textContent = tidyMs(measured.longestBlockMs)
    this.#figures.frame.textContent = `${tidyMs(measured.longestFrameMs)} ms`
    this.#figures.drawn.textContent = `${measured.frames} in ${(measured.durationMs / 1000).toFixed(2)} s`
    this.#figures.rate.textContent = Math.round(TOTAL_ROWS / (workMs / 1000)).toLocaleString("en")
    this.#root.dataset["longestBlockMs"] = measured.longestBlockMs.toFixed(1)
    this.#root.dataset["longestFrameMs"] = measured.longestFrameMs.toFixed(1)
    this.#root.dataset["frames"] = String(measured.frames)
    this.#show("done", `${TOTAL_ROWS.toLocaleString("en")} rows in ${(workMs / 1000).toFixed(2)} s`)
    this.#canvas.setAttribute(
      "aria-label",
      `${measured.frames} frames drawn in ${Math.round(measured.durationMs)} ms, the longest took ${Math.round(measured.longestFrameMs)} ms`,
    )
    return measured
  }

  get durationMs(): number {
    return this.#durationMs
  }

  /** Lets the width stand for this much time, so that two lanes compare. */
  rescale(ms: number): void {
    if (this.#running || this.#frames.length === 0) return
    this.#scaleMs = Math.max(ms, this.#durationMs)
    this.draw()
  }

  draw(): void {
    requestAnimationFrame(() => this.#drawNow())
  }

  #show(state: "running" | "done" | "failed", text: string): void {
    this.#root.dataset["state"] = state
    this.#state.textContent = text
  }

  #drawNow(): void {
    const { width, height, context: c } = fit(this.#canvas)
    if (width === 0) return
    const style = getComputedStyle(this.#root)
    const color = (name: string) => style.getPropertyValue(name)
    const ink = color("--lane")
    const hot = color("--hot")
    const waveHeight = height - BARS_PX - 10
    const middle = waveHeight / 2 + 2
    const amplitude = waveHeight / 2 - 5
    const wave = (at: number) => middle - Math.sin((at / WAVE_MS) * 2 * Math.PI) * amplitude
    const x = (at: number) => 6 + (at / this.#scaleMs) * (width - 12 - LABEL_PX)
    c.clearRect(0, 0, width, height)

    c.lineWidth = 1
    c.strokeStyle = color("--line")
    c.beginPath()
    c.moveTo(0, height - 0.5)
    c.lineTo(width - LABEL_PX, height - 0.5)
    c.stroke()

    if (this.#frames.length === 0) {
      // A promise of what an undisturbed page draws.
      c.fillStyle = color("--line-strong")
      for (let at = 0; at < this.#scaleMs; at += 1000 / 60) dot(c, x(at), wave(at), 1)
      return
    }

    const barBase = height - 1
    const bar = (ms: number) => Math.min(1, Math.sqrt(ms / BAR_FULL_MS)) * (BARS_PX - 2)
    c.setLineDash([2, 3])
    c.beginPath()
    c.moveTo(0, barBase - bar(LONG_FRAME_MS))
    c.lineTo(width - LABEL_PX, barBase - bar(LONG_FRAME_MS))
    c.stroke()
    c.setLineDash([])
    c.font = `400 10px ${style.fontFamily}`
    c.fillStyle = color("--ink-3")
    c.fillText("50 ms", width - LABEL_PX + 4, barBase - bar(LONG_FRAME_MS) + 3)

    let before: Frame | undefined
    for (const frame of this.#frames) {
      const left = x(frame.at - frame.gap)
      const right = x(frame.at)
      const long = frame.gap >= LONG_FRAME_MS
      c.fillStyle = long ? hot : ink
      c.globalAlpha = long ? 1 : 0.55
      c.fillRect(left, barBase - bar(frame.gap), Math.max(1, right - left - 0.75), bar(frame.gap))
      if (long) {
        c.globalAlpha = 0.13
        c.fillRect(left, 0, right - left, waveHeight + 4)
      } else if (before) {
        c.globalAlpha = 0.35
        c.strokeStyle = ink
        c.lineWidth = 1.5
        c.beginPath()
        c.moveTo(left, wave(before.at))
        c.lineTo(right, wave(frame.at))
        c.stroke()
      }
      c.globalAlpha = 1
      c.fillStyle = long ? hot : ink
      dot(c, right, wave(frame.at), long ? 2.4 : 1.7)
      before = frame
    }
    const worst = this.#frames.reduce((a, b) => (b.gap > a.gap ? b : a))
    if (worst.gap >= LONG_FRAME_MS) {
      const label = `${Math.round(worst.gap)} ms`
      c.font = `600 11px ${style.fontFamily}`
      c.fillStyle = hot
      const center = x(worst.at - worst.gap / 2)
      const half = c.measureText(label).width / 2
      c.fillText(label, Math.min(width - LABEL_PX - half * 2, Math.max(0, center - half)), 11)
    }
    if (this.#running) {
      const head = this.#frames.at(-1)!
      c.fillStyle = ink
      c.globalAlpha = 0.2
      dot(c, x(head.at), wave(head.at), 9)
      c.globalAlpha = 1
      dot(c, x(head.at), wave(head.at), 4.5)
    }
  }
}

/** The small live strip in the header: time between frames, always on while the page is visible. */
export function startPulse(canvas: HTMLCanvasElement, text: HTMLElement): void {
  const gaps = new Float32Array(66)
  let next = 0
  let last = performance.now()
  let shownAt = 0
  const step = () => {
    const now = performance.now()
    gaps[next++ % gaps.length] = now - last
    last = now
    if (now - shownAt > 250) {
      shownAt = now
      const seen = gaps.filter((gap) => gap > 0)
      const worst = seen.reduce((a, b) => Math.max(a, b), 0)
      text.textContent = `${tidyMs(worst)} ms`
      text.toggleAttribute("data-hot", worst >= LONG_FRAME_MS)
    }
    const { width, height, context: c } = fit(canvas)
    const style = getComputedStyle(canvas)
    c.clearRect(0, 0, width, height)
    const full = (ms: number) => Math.min(1, Math.sqrt(ms / BAR_FULL_MS)) * (height - 1)
    for (let i = 0; i < gaps.length; i++) {
      const gap = gaps[(next + i) % gaps.length]!
      c.fillStyle = style.getPropertyValue(gap >= LONG_FRAME_MS ? "--hot" : "--calm")
      c.fillRect(i * (width / gaps.length), height - full(gap), width / gaps.length - 0.75, full(gap))
    }
    c.fillStyle = style.getPropertyValue("--line-strong")
    c.fillRect(0, height - full(LONG_FRAME_MS), width, 1)
    requestAnimationFrame(step)
  }
  document.addEventListener("visibilitychange", () => (last = performance.now()))
  requestAnimationFrame(step)
}

/** Sizes a canvas to its box in device pixels and returns its size in CSS pixels. */
export function fit(canvas: HTMLCanvasElement): { width: number; height: number; context: CanvasRenderingContext2D } {
  const { clientWidth: width, clientHeight: height } = canvas
  const ratio = devicePixelRatio
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio)
    canvas.height = Math.round(height * ratio)
  }
  const context = canvas.getContext("2d")!
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  return { width, height, context }
}

export function tidyMs(ms: number): string {
  return ms < 10 ? ms.toFixed(1) : Math.round(ms).toLocaleString("en")
}

function dot(c: CanvasRenderingContext2D, x: number, y: number, radius: number): void {
  c.beginPath()
  c.arc(x, y, radius, 0, 2 * Math.PI)
  c.fill()
}

const INITIAL_SCALE_MS = 1_500
const WAVE_MS = 420
const LONG_FRAME_MS = 50
const LABEL_PX = 34
const BARS_PX = 30
const BAR_FULL_MS = 250
