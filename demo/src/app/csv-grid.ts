// A CSV file as a table one can type in. Only the rows in view exist, so length does not matter.
import Papa from "papaparse"
import { h, icon } from "./dom.ts"

export interface Table {
  rows: string[][]
  newline: string
  delimiter: string
  endsWithNewline: boolean
}

export function parseCsv(text: string): Table {
  const { data, meta } = Papa.parse<string[]>(text, { skipEmptyLines: false, delimitersToGuess: [",", ";", "\t", "|"] })
  const newline = meta.linebreak || "\n"
  const endsWithNewline = text.endsWith(newline)
  const rows = endsWithNewline ? data.slice(0, -1) : data
  return { rows: rows.length > 0 ? rows : [[""]], newline, delimiter: meta.delimiter || ",", endsWithNewline: endsWithNewline || text === "" }
}

export function printCsv({ rows, newline, delimiter, endsWithNewline }: Table): string {
  return Papa.unparse(rows, { newline, delimiter }) + (endsWithNewline ? newline : "")
}

export class CsvGrid {
  readonly element: HTMLElement
  readonly #head = h("div", { class: "csv-head", role: "row" })
  readonly #body = h("div", { class: "csv-body", role: "rowgroup" })
  readonly #scroll: HTMLElement
  readonly #onInput: () => void
  #table: Table = { rows: [[""]], newline: "\n", delimiter: ",", endsWithNewline: true }
  #shown = { from: -1, to: -1 }

  constructor(onInput: () => void) {
    this.#onInput = onInput
    this.#scroll = h("div", { class: "csv-scroll", role: "grid", "aria-label": "Table", onscroll: () => this.#draw() }, this.#head, this.#body)
    const bar = h(
      "div",
      { class: "csv-bar" },
      h("button", { type: "button", class: "button small quiet", id: "add-row", onclick: () => this.#addRow() }, icon("plus"), "Row"),
      h("button", { type: "button", class: "button small quiet", id: "add-column", onclick: () => this.#addColumn() }, icon("plus"), "Column"),
    )
    this.element = h("div", { class: "csv" }, this.#scroll, bar)
    this.#scroll.addEventListener("input", (event) => this.#typed(event.target as HTMLInputElement))
    this.#scroll.addEventListener("keydown", (event) => this.#key(event))
    new ResizeObserver(() => this.#draw()).observe(this.#scroll)
  }

  get text(): string {
    return printCsv(this.#table)
  }

  show(text: string): void {
    this.#table = parseCsv(text)
    const { row, column } = this.#focused
    this.#layOut()
    if (row !== undefined) this.#focus(Math.min(Number(row), this.#table.rows.length - 1), Number(column))
  }

  focus(): void {
    this.#focus(Math.min(1, this.#table.rows.length - 1), 0)
  }

  /** The cell that has the focus, if one has. */
  get #focused(): DOMStringMap {
    const { activeElement } = document
    return activeElement instanceof HTMLInputElement && this.#scroll.contains(activeElement) ? activeElement.dataset : {}
  }

  get #columns(): number {
    return Math.max(1, ...this.#table.rows.slice(0, SAMPLE).map((row) => row.length))
  }

  #layOut(): void {
    const columns = this.#columns
    const widths = Array.from({ length: columns }, (_, column) => Math.min(32, Math.max(6, ...this.#table.rows.slice(0, SAMPLE).map((row) => (row[column] ?? "").length))))
    this.#scroll.style.setProperty("--columns", `44px ${widths.map((letters) => `minmax(${letters + 4}ch, 1fr)`).join(" ")} 34px`)
    this.#scroll.setAttribute("aria-rowcount", String(this.#table.rows.length))
    this.#body.style.height = `${(this.#table.rows.length - 1) * ROW_PX}px`
    this.#head.replaceChildren(...this.#cells(0))
    this.#body.replaceChildren()
    this.#shown = { from: -1, to: -1 }
    this.#draw()
  }

  #draw(): void {
    const last = this.#table.rows.length
    const from = Math.max(1, 1 + Math.floor(this.#scroll.scrollTop / ROW_PX) - OVERSCAN)
    const to = Math.min(last, from + Math.ceil((this.#scroll.clientHeight || 400) / ROW_PX) + 2 * OVERSCAN)
    if (from === this.#shown.from && to === this.#shown.to) return
    this.#shown = { from, to }
    const had = new Map([...this.#body.children].map((child) => [Number((child as HTMLElement).dataset["row"]), child]))
    const rows: Element[] = []
    for (let row = from; row < to; row += 1) rows.push(had.get(row) ?? this.#row(row))
    const keep = new Set(rows)
    for (const child of had.values()) if (!keep.has(child)) child.remove()
    rows.forEach((row, index) => this.#body.children[index] === row || this.#body.insertBefore(row, this.#body.children[index] ?? null))
  }

  #row(row: number): HTMLElement {
    return h("div", { class: "csv-row", role: "row", "aria-rowindex": row + 1, "data-row": row, style: `top:${(row - 1) * ROW_PX}px` }, ...this.#cells(row))
  }

  #cells(row: number): HTMLElement[] {
    const values = this.#table.rows[row] ?? []
    const isHead = row === 0
    const cells = Array.from({ length: this.#columns }, (_, column) =>
      h("input", {
        type: "text",
        value: values[column] ?? "",
        role: isHead ? "columnheader" : "gridcell",
        "data-row": row,
        "data-column": column,
        "data-numeric": !isHead && NUMERIC.test(values[column] ?? ""),
        "aria-label": isHead ? `Name of column ${column + 1}` : `${this.#table.rows[0]?.[column] ?? `Column ${column + 1}`}, row ${row}`,
        autocomplete: "off",
        spellcheck: "false",
      }),
    )
    const remove = isHead
      ? h("span")
      : h("button", { type: "button", class: "row-remove", tabindex: "-1", "aria-label": `Remove row ${row}`, title: "Remove this row", onclick: () => this.#removeRow(row) }, "×")
    return [h("span", { class: "row-number", "aria-hidden": "true" }, isHead ? "" : row), ...cells, remove]
  }

  #typed(input: HTMLInputElement): void {
    const row = this.#table.rows[Number(input.dataset["row"])]!
    const column = Number(input.dataset["column"])
    while (row.length <= column) row.push("")
    row[column] = input.value
    input.toggleAttribute("data-numeric", input.dataset["row"] !== "0" && NUMERIC.test(input.value))
    this.#onInput()
  }

  #key(event: KeyboardEvent): void {
    const input = event.target as HTMLInputElement
    if (input.tagName !== "INPUT") return
    const [row, column] = [Number(input.dataset["row"]), Number(input.dataset["column"])]
    if (event.key === "ArrowDown" || event.key === "ArrowUp" || event.key === "Enter") {
      event.preventDefault()
      const next = row + (event.key === "ArrowUp" || (event.key === "Enter" && event.shiftKey) ? -1 : 1)
      if (next === this.#table.rows.length && event.key === "Enter") this.#addRow(column)
      else this.#focus(next, column)
    } else if (event.key === "Backspace" && (event.ctrlKey || event.metaKey) && row > 0) {
      event.preventDefault()
      this.#removeRow(row)
      this.#focus(Math.min(row, this.#table.rows.length - 1), column)
    }
  }

  #focus(row: number, column: number): void {
    if (row < 0 || row >= this.#table.rows.length) return
    if (row > 0) {
      const top = (row - 1) * ROW_PX
      const view = this.#scroll.clientHeight - ROW_PX
      if (top < this.#scroll.scrollTop) this.#scroll.scrollTop = top
      else if (top + ROW_PX > this.#scroll.scrollTop + view) this.#scroll.scrollTop = top + ROW_PX - view
      this.#draw()
    }
    this.#scroll.querySelector<HTMLInputElement>(`input[data-row="${row}"][data-column="${column}"]`)?.select()
  }

  #addRow(column = 0): void {
    this.#table.rows.push(Array.from({ length: this.#columns }, () => ""))
    this.#layOut()
    this.#focus(this.#table.rows.length - 1, column)
    this.#onInput()
  }

  #addColumn(): void {
    const columns = this.#columns
    this.#table.rows.forEach((row, index) => (row[columns] = index === 0 ? `column ${columns + 1}` : ""))
    this.#layOut()
    this.#focus(0, columns)
    this.#onInput()
  }

  #removeRow(row: number): void {
    this.#table.rows.splice(row, 1)
    this.#layOut()
    this.#onInput()
  }
}

const NUMERIC = /^-?\d+(?:[.,]\d+)?$/
const ROW_PX = 34
const OVERSCAN = 6
const SAMPLE = 200
