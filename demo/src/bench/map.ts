// Results with a latitude and a longitude, drawn as they arrive.
//
// Equal Earth projection (Šavrič, Patterson, Jenny 2018): areas compare, and a world
// of towns shows where people live. Drawing goes in slices; it shares the thread
// with everything else on the page.
import type { ColumnBatch } from "lix-engine"
import { fit } from "./lanes.ts"
import { yieldToPage } from "../shared/probe.ts"

export class ResultMap {
  readonly #figure: HTMLElement
  readonly #points: HTMLCanvasElement
  readonly #marks: HTMLCanvasElement
  readonly #caption: HTMLElement
  #place: { lat: number; lon: number; size: number } | undefined
  /** Per point: projected x, projected y, radius, row. */
  #data: number[] = []
  #rows = 0
  #view = WORLD
  #drawn = 0
  #drawing = false
  /** Dots large enough to be picked one by one; known only when all of them are there. */
  #few = false
  #active: number | undefined

  constructor(figure: HTMLElement, onPick: (row: number) => void) {
    this.#figure = figure
    figure.innerHTML = `<canvas role="img" aria-label="Map of the result"></canvas><canvas aria-hidden="true"></canvas><figcaption></figcaption>`
    this.#points = figure.children[0] as HTMLCanvasElement
    this.#marks = figure.children[1] as HTMLCanvasElement
    this.#caption = figure.children[2] as HTMLElement
    this.#marks.addEventListener("click", (event) => {
      const row = this.#nearest(event.offsetX, event.offsetY)
      if (row !== undefined) onPick(row)
    })
    new ResizeObserver(() => this.redraw()).observe(figure)
  }

  /** Forgets the points. True if a result with these columns can be drawn. */
  reset(columns: readonly { readonly name: string }[]): boolean {
    const find = (...names: string[]) => columns.findIndex((column) => names.includes(column.name.toLowerCase()))
    const lat = find("lat", "latitude")
    const lon = find("lon", "lng", "long", "longitude")
    this.#place = lat >= 0 && lon >= 0 ? { lat, lon, size: find("population", "people") } : undefined
    this.#data = []
    this.#rows = 0
    this.#view = WORLD
    this.#few = false
    this.#active = undefined
    if (this.#place) this.redraw()
    return this.#place !== undefined
  }

  append(batch: ColumnBatch): void {
    if (!this.#place) return
    const lat = batch.columns[this.#place.lat]!
    const lon = batch.columns[this.#place.lon]!
    const size = batch.columns[this.#place.size]
    for (let row = 0; row < batch.rowCount; row++) {
      const y = lat.value(row)
      const x = lon.value(row)
      if (typeof x !== "number" || typeof y !== "number" || Math.abs(y) > 90 || Math.abs(x) > 180) continue
      const people = size?.value(row)
      const radius = typeof people === "number" ? Math.sqrt(people / 9e5) : 0
      this.#data.push(...project(x, y), radius, this.#rows + row)
    }
    this.#rows += batch.rowCount
    void this.#drawNew()
  }

  /** Once every row is there: come closer if they leave most of the world empty, and draw few large. */
  finish(): void {
    if (!this.#place) return
    const count = this.#data.length / 4
    this.#caption.textContent = count === 0 ? "No row has coordinates" : `${count.toLocaleString("en")} points · Equal Earth`
    if (count === 0) return
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity]
    for (let i = 0; i < this.#data.length; i += 4) {
      left = Math.min(left, this.#data[i]!)
      right = Math.max(right, this.#data[i]!)
      top = Math.min(top, this.#data[i + 1]!)
      bottom = Math.max(bottom, this.#data[i + 1]!)
    }
    const pad = Math.max((right - left) * 0.06, (bottom - top) * 0.06, 0.02)
    const close = { left: left - pad, right: right + pad, top: top - pad, bottom: bottom + pad }
    const world = WORLD.right - WORLD.left
    if (close.right - close.left < world * 0.7) this.#view = close
    this.#few = count < 4_000
    if (this.#few || this.#view === close) this.redraw()
  }

  mark(row: number): void {
    this.#active = row
    this.#drawMark()
  }

  redraw(): void {
    this.#drawn = 0
    const { width, height, context: c } = fit(this.#points)
    c.clearRect(0, 0, width, height)
    this.#graticule(c)
    this.#drawMark()
    void this.#drawNew()
  }

  /** Draws what is not drawn yet, a slice for each turn of the event loop. One loop at a time. */
  async #drawNew(): Promise<void> {
    if (this.#drawing) return
    this.#drawing = true
    while (this.#drawn < this.#data.length && !this.#figure.hidden) {
      this.#drawSlice()
      await yieldToPage()
    }
    this.#drawing = false
  }

  #drawSlice(): void {
    const { width, height, context: c } = fit(this.#points)
    const to = this.#frame(width, height)
    const few = this.#few
    c.fillStyle = getComputedStyle(this.#figure).getPropertyValue("--dot")
    c.globalAlpha = few ? 0.7 : 0.34
    const end = Math.min(this.#data.length, this.#drawn + SLICE_POINTS * 4)
    for (let i = this.#drawn; i < end; i += 4) {
      const radius = Math.min(few ? 9 : 3.5, Math.max(few ? 1.8 : 0.55, this.#data[i + 2]! * (few ? 2 : 1)))
      const [x, y] = to(this.#data[i]!, this.#data[i + 1]!)
      if (radius < 1) c.fillRect(x - radius, y - radius, radius * 2, radius * 2)
      else {
        c.beginPath()
        c.arc(x, y, radius, 0, 2 * Math.PI)
        c.fill()
      }
    }
    c.globalAlpha = 1
    this.#drawn = end
  }

  /** From projected coordinates to the canvas, keeping the aspect ratio. */
  #frame(width: number, height: number): (x: number, y: number) => [number, number] {
    const { left, right, top, bottom } = this.#view
    const scale = Math.min((width - 16) / (right - left), (height - 40) / (bottom - top))
    const x0 = width / 2 - ((left + right) / 2) * scale
    const y0 = (height - 20) / 2 - ((top + bottom) / 2) * scale
    return (x, y) => [x0 + x * scale, y0 + y * scale]
  }

  #graticule(c: CanvasRenderingContext2D): void {
    const { width, height } = fit(this.#points)
    const to = this.#frame(width, height)
    c.strokeStyle = getComputedStyle(this.#figure).getPropertyValue("--line")
    c.lineWidth = 1
    const line = (points: [number, number][]) => {
      c.beginPath()
      for (const [lon, lat] of points) c.lineTo(...to(...project(lon, lat)))
      c.stroke()
    }
    const steps = (from: number, until: number, by: number) => Array.from({ length: (until - from) / by + 1 }, (_, i) => from + i * by)
    for (const lon of steps(-180, 180, 30)) line(steps(-90, 90, 3).map((lat) => [lon, lat]))
    for (const lat of steps(-60, 60, 30)) line(steps(-180, 180, 6).map((lon) => [lon, lat]))
    for (const pole of [-90, 90]) line([[-180, pole], [180, pole]])
  }

  #drawMark(): void {
    const { width, height, context: c } = fit(this.#marks)
    c.clearRect(0, 0, width, height)
    if (this.#active === undefined) return
    for (let i = 0; i < this.#data.length; i += 4) {
      if (this.#data[i + 3] !== this.#active) continue
      const [x, y] = this.#frame(width, height)(this.#data[i]!, this.#data[i + 1]!)
      const hot = getComputedStyle(this.#figure).getPropertyValue("--hot")
      c.fillStyle = hot
      c.strokeStyle = hot
      c.lineWidth = 1.5
      c.beginPath()
      c.arc(x, y, 10, 0, 2 * Math.PI)
      c.stroke()
      c.beginPath()
      c.arc(x, y, 3, 0, 2 * Math.PI)
      c.fill()
      return
    }
  }

  #nearest(px: number, py: number): number | undefined {
    const { width, height } = fit(this.#marks)
    const to = this.#frame(width, height)
    let best: number | undefined
    let bestDistance = PICK_PX ** 2
    for (let i = 0; i < this.#data.length; i += 4) {
      const [x, y] = to(this.#data[i]!, this.#data[i + 1]!)
      const distance = (x - px) ** 2 + (y - py) ** 2
      if (distance < bestDistance) {
        bestDistance = distance
        best = this.#data[i + 3]
      }
    }
    return best
  }
}

function project(lon: number, lat: number): [number, number] {
  const l = (lon * Math.PI) / 180
  const t = Math.asin((Math.sqrt(3) / 2) * Math.sin((lat * Math.PI) / 180))
  const t2 = t * t
  const t6 = t2 * t2 * t2
  const x = (2 * Math.sqrt(3) * l * Math.cos(t)) / (3 * (9 * A4 * t6 * t2 + 7 * A3 * t6 + 3 * A2 * t2 + A1))
  return [x, -t * (A4 * t6 * t2 + A3 * t6 + A2 * t2 + A1)]
}

const A1 = 1.340264
const A2 = -0.081106
const A3 = 0.000893
const A4 = 0.003796
const WORLD = { left: project(-180, 0)[0], right: project(180, 0)[0], top: project(0, 84)[1], bottom: project(0, -58)[1] }
const SLICE_POINTS = 6_000
const PICK_PX = 12
