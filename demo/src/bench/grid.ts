// A table of any length: only the rows in view exist as elements.
//
// Rows arrive in batches and are kept as the engine sent them, column by column.
// One element is focusable; the active cell is announced through it, as the ARIA
// grid pattern has it.
import type { ColumnBatch, ColumnView, SqlValue } from "lix-engine"
import { bytes } from "../shared/format.ts"

export interface GridEvents {
  onActive(row: number, column: number): void
}

export class ResultGrid {
  readonly #root: HTMLElement
  readonly #head: HTMLElement
  readonly #body: HTMLElement
  readonly #spacer: HTMLElement
  readonly #events: GridEvents
  readonly #rows: HTMLElement[] = []
  #columns: readonly ColumnView[] = []
  #batches: ColumnBatch[] = []
  #starts: number[] = []
  #count = 0
  #active: { row: number; column: number } | undefined
  #frame = 0

  constructor(root: HTMLElement, events: GridEvents) {
    this.#root = root
    this.#events = events
    root.setAttribute("role", "grid")
    root.setAttribute("aria-label", "Query result")
    root.tabIndex = 0
    root.innerHTML = `<div class="grid-head" role="rowgroup"></div><div class="grid-spacer" role="presentation"></div><div class="grid-body" role="rowgroup"></div>`
    this.#head = root.children[0] as HTMLElement
    this.#spacer = root.children[1] as HTMLElement
    this.#body = root.children[2] as HTMLElement
    root.addEventListener("scroll", () => this.#schedule(), { passive: true })
    root.addEventListener("keydown", (event) => this.#onKey(event))
    root.addEventListener("mousedown", (event) => this.#onPointer(event))
    root.addEventListener("copy", (event) => this.#onCopy(event))
    new ResizeObserver(() => this.#schedule()).observe(root)
  }

  get rowCount(): number {
    return this.#count
  }

  get columns(): readonly ColumnView[] {
    return this.#columns
  }

  /** Empties the table and shows new headings. */
  reset(columns: readonly ColumnView[]): void {
    this.#columns = columns
    this.#batches = []
    this.#starts = []
    this.#count = 0
    this.#active = undefined
    this.#rows.length = 0
    this.#body.replaceChildren()
    this.#head.replaceChildren()
    this.#root.scrollTo(0, 0)
    this.#root.removeAttribute("aria-activedescendant")
    this.#root.setAttribute("aria-colcount", String(columns.length + 1))
    this.#root.classList.toggle("empty", columns.length === 0)
    this.#sizeToCount()
  }

  append(batch: ColumnBatch): void {
    if (this.#batches.length === 0) this.#layOut(batch)
    if (batch.rowCount === 0) return
    this.#batches.push(batch)
    this.#starts.push(this.#count)
    this.#count += batch.rowCount
    this.#sizeToCount()
    this.#schedule()
  }

  /** A cell, as the column view that holds it and the row in there. */
  cell(row: number, column: number): CellRef {
    const index = this.#batchOf(row)
    return { view: this.#batches[index]!.columns[column]!, row: row - this.#starts[index]! }
  }

  /** Makes a cell the active one and scrolls it into view. */
  activate(row: number, column: number): void {
    if (this.#count === 0) return
    const to = {
      row: Math.max(0, Math.min(this.#count - 1, row)),
      column: Math.max(0, Math.min(this.#columns.length - 1, column)),
    }
    this.#active = to
    this.#reveal(to.row)
    this.#render()
    const cell = this.#root.querySelector<HTMLElement>(".is-active")
    if (cell) this.#revealColumn(cell)
    this.#events.onActive(to.row, to.column)
  }

  /** Headings and column widths, judged from the first batch. */
  #layOut(sample: ColumnBatch): void {
    const measure = document.createElement("canvas").getContext("2d")!
    const { fontFamily } = getComputedStyle(this.#root)
    measure.font = `13px ${fontFamily}`
    const looked = Math.min(sample.rowCount, 200)
    const numeric = this.#columns.map((_, column) => {
      const kinds = new Set<string>()
      for (let row = 0; row < looked; row++) kinds.add(sample.columns[column]!.storageClass(row))
      kinds.delete("null")
      return kinds.size > 0 && [...kinds].every((kind) => kind === "integer" || kind === "real")
    })
    const widths = this.#columns.map((column, index) => {
      const heading = measure.measureText(column.name).width + measure.measureText(typeOf(sample.columns[index]!)).width * 0.85 + 34
      const cells = Array.from({ length: looked }, (_, row) => measure.measureText(show({ view: sample.columns[index]!, row }).text).width * 1.04 + 26)
      // A few long texts shall not push the other columns out of view.
      const usual = cells.sort((a, b) => a - b)[Math.floor((cells.length - 1) * 0.94)] ?? 0
      return Math.round(Math.min(Math.max(heading, usual, 64), 340))
    })
    this.#root.style.setProperty("--columns", `56px ${widths.map((w) => `${w}px`).join(" ")} minmax(0, 1fr)`)
    this.#root.style.setProperty("--row-width", `${56 + widths.reduce((a, b) => a + b, 0)}px`)

    const row = element("div", "grid-row")
    row.setAttribute("role", "row")
    row.setAttribute("aria-rowindex", "1")
    const corner = element("span", "row-number")
    corner.setAttribute("role", "columnheader")
    corner.setAttribute("aria-label", "row")
    row.append(corner)
    for (const [index, column] of this.#columns.entries()) {
      const heading = element("span", numeric[index] ? "heading right" : "heading")
      heading.setAttribute("role", "columnheader")
      heading.setAttribute("aria-colindex", String(index + 2))
      heading.append(element("b", "", column.name), element("i", "", typeOf(sample.columns[index]!)))
      heading.title = column.declType ? `declared ${column.declType}` : "an expression: type of the first value"
      row.append(heading)
    }
    this.#head.replaceChildren(row)
  }

  #sizeToCount(): void {
    this.#root.setAttribute("aria-rowcount", String(this.#count + 1))
    this.#spacer.style.height = `${this.#scrollHeight()}px`
    this.#root.dataset["rows"] = String(this.#count)
  }

  /** Browsers cap an element's height, so a very long table scrolls in coarser steps. */
  #scrollHeight(): number {
    return Math.min(this.#count * ROW_PX, MAX_SCROLL_PX)
  }

  #firstRow(): number {
    const view = this.#viewRows()
    if (this.#count * ROW_PX <= MAX_SCROLL_PX) return this.#root.scrollTop / ROW_PX
    const range = MAX_SCROLL_PX - view * ROW_PX
    return (this.#root.scrollTop / range) * (this.#count - view)
  }

  #viewRows(): number {
    return Math.max(1, (this.#root.clientHeight - this.#head.offsetHeight) / ROW_PX)
  }

  #reveal(row: number): void {
    const first = this.#firstRow()
    const view = this.#viewRows()
    let to = first
    if (row < first) to = row
    else if (row + 1 > first + view) to = row + 1 - view
    if (to === first) return
    if (this.#count * ROW_PX <= MAX_SCROLL_PX) this.#root.scrollTop = to * ROW_PX
    else this.#root.scrollTop = (to / (this.#count - view)) * (MAX_SCROLL_PX - view * ROW_PX)
  }

  #revealColumn(cell: HTMLElement): void {
    const view = this.#root.getBoundingClientRect()
    const box = cell.getBoundingClientRect()
    if (box.left < view.left + 56) this.#root.scrollLeft -= view.left + 56 - box.left
    else if (box.right > view.left + this.#root.clientWidth) this.#root.scrollLeft += box.right - view.left - this.#root.clientWidth
  }

  #schedule(): void {
    if (this.#frame !== 0) return
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0
      this.#render()
    })
  }

  #render(): void {
    const top = this.#root.scrollTop
    const firstRow = this.#firstRow()
    const first = Math.max(0, Math.floor(firstRow) - OVERSCAN)
    const needed = this.#count === 0 ? 0 : Math.min(this.#count - first, Math.ceil(this.#viewRows()) + 2 * OVERSCAN + 1)
    while (this.#rows.length < needed) this.#rows.push(this.#body.appendChild(this.#newRow()))
    while (this.#rows.length > needed) this.#rows.pop()!.remove()
    let activeId = ""
    for (let i = 0; i < needed; i++) {
      const index = first + i
      const element = this.#rows[i]!
      element.style.transform = `translateY(${Math.round(top + (index - firstRow) * ROW_PX)}px)`
      element.setAttribute("aria-rowindex", String(index + 2))
      element.classList.toggle("odd", index % 2 === 1)
      this.#fill(element, index)
      if (this.#active?.row === index) activeId = element.querySelector(".is-active")?.id ?? ""
    }
    if (activeId) this.#root.setAttribute("aria-activedescendant", activeId)
    else this.#root.removeAttribute("aria-activedescendant")
  }

  #newRow(): HTMLElement {
    const row = element("div", "grid-row")
    row.setAttribute("role", "row")
    const number = element("span", "row-number")
    number.setAttribute("role", "rowheader")
    number.setAttribute("aria-colindex", "1")
    row.append(number)
    const serial = nextSerial++
    for (let column = 0; column < this.#columns.length; column++) {
      const cell = element("span", "")
      cell.setAttribute("role", "gridcell")
      cell.setAttribute("aria-colindex", String(column + 2))
      cell.id = `cell-${serial}-${column}`
      row.append(cell)
    }
    return row
  }

  #fill(row: HTMLElement, index: number): void {
    const batch = this.#batchOf(index)
    const local = index - this.#starts[batch]!
    row.dataset["row"] = String(index)
    row.firstElementChild!.textContent = (index + 1).toLocaleString("en")
    const isActiveRow = this.#active?.row === index
    row.classList.toggle("is-active-row", isActiveRow)
    for (let column = 0; column < this.#columns.length; column++) {
      const cell = row.children[column + 1] as HTMLElement
      const { text, kind } = show({ view: this.#batches[batch]!.columns[column]!, row: local })
      if (cell.textContent !== text) cell.textContent = text
      const name = `v-${kind}${isActiveRow && this.#active!.column === column ? " is-active" : ""}`
      if (cell.className !== name) cell.className = name
    }
  }

  #batchOf(row: number): number {
    let low = 0
    let high = this.#starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#starts[middle]! <= row) low = middle
      else high = middle - 1
    }
    return low
  }

  #onKey(event: KeyboardEvent): void {
    const page = Math.floor(this.#viewRows()) - 1
    const { row, column } = this.#active ?? { row: Math.ceil(this.#firstRow()), column: 0 }
    const all = event.ctrlKey || event.metaKey
    const moves: Record<string, () => void> = {
      ArrowDown: () => this.activate(this.#active ? row + 1 : row, column),
      ArrowUp: () => this.activate(row - 1, column),
      ArrowLeft: () => this.activate(row, column - 1),
      ArrowRight: () => this.activate(row, column + 1),
      PageDown: () => this.activate(row + page, column),
      PageUp: () => this.activate(row - page, column),
      Home: () => this.activate(all ? 0 : row, 0),
      End: () => this.activate(all ? this.#count - 1 : row, this.#columns.length - 1),
    }
    const move = moves[event.key]
    if (!move || event.altKey || this.#count === 0) return
    event.preventDefault()
    move()
  }

  #onPointer(event: MouseEvent): void {
    const cell = (event.target as HTMLElement).closest<HTMLElement>("[role=gridcell]")
    const row = cell?.closest<HTMLElement>("[data-row]")
    if (!cell || !row) return
    this.activate(Number(row.dataset["row"]), Number(cell.getAttribute("aria-colindex")) - 2)
  }

  #onCopy(event: ClipboardEvent): void {
    if (!this.#active || getSelection()?.toString()) return
    event.clipboardData?.setData("text/plain", plain(this.cell(this.#active.row, this.#active.column)))
    event.preventDefault()
  }
}

export interface CellRef {
  readonly view: ColumnView
  readonly row: number
}

/** How a value looks in one line. */
export function show({ view, row }: CellRef): { text: string; kind: string } {
  const kind = view.storageClass(row)
  const value = view.value(row)
  if (value === null) return { text: "NULL", kind }
  if (value instanceof Uint8Array) return { text: `${hex(value.subarray(0, 16))}${value.length > 16 ? "…" : ""} · ${bytes(value.length)}`, kind }
  if (typeof value === "string") return { text: value.length > 400 ? `${value.slice(0, 400)}…` : value, kind }
  return { text: kind === "real" && Number.isInteger(value) ? `${value}.0` : String(value), kind }
}

/** The whole value as text: what is copied. */
export function plain({ view, row }: CellRef): string {
  const value: SqlValue = view.value(row)
  if (value === null) return "NULL"
  return value instanceof Uint8Array ? `x'${hex(value)}'` : String(value)
}

/** The declared type, else what the first row with a value has. */
function typeOf(column: ColumnView): string {
  if (column.declType) return column.declType.toUpperCase()
  for (let row = 0; row < Math.min(column.rowCount, 50); row++) {
    if (!column.isNull(row)) return column.storageClass(row)
  }
  return ""
}

function hex(data: Uint8Array): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("")
}

function element(tag: string, className: string, text?: string): HTMLElement {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (text !== undefined) made.textContent = text
  return made
}

let nextSerial = 0
const ROW_PX = 28
const OVERSCAN = 4
const MAX_SCROLL_PX = 8_000_000
