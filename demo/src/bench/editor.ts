// A text area over a painted copy of itself: the browser edits, we only colour.
import { tokenAt, tokenize } from "./sql-text.ts"

export class Editor {
  readonly #input: HTMLTextAreaElement
  readonly #paint: HTMLPreElement
  #mark: { start: number; end: number } | undefined

  constructor(input: HTMLTextAreaElement, paint: HTMLPreElement, onRun: () => void) {
    this.#input = input
    this.#paint = paint
    input.addEventListener("input", () => {
      this.#mark = undefined
      this.#repaint()
    })
    input.addEventListener("scroll", () => this.#follow())
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return
      event.preventDefault()
      onRun()
    })
  }

  get text(): string {
    return this.#input.value
  }

  set text(sql: string) {
    this.#input.value = sql
    this.#mark = undefined
    this.#repaint()
    this.#input.scrollTop = 0
  }

  /** What to run: the selection if there is one, else everything. `start` is where it begins in the text. */
  get statement(): { sql: string; start: number } {
    const { selectionStart, selectionEnd, value } = this.#input
    const selected = value.slice(selectionStart, selectionEnd)
    return selected.trim() ? { sql: selected, start: selectionStart } : { sql: value, start: 0 }
  }

  /** Underlines the token at `offset`, or takes the line away. Returns line and column, from 1. */
  markError(offset: number | undefined): { line: number; column: number } | undefined {
    this.#mark = offset === undefined ? undefined : tokenAt(this.text, offset)
    this.#repaint()
    if (offset === undefined) return undefined
    const before = this.text.slice(0, offset).split("\n")
    return { line: before.length, column: before.at(-1)!.length + 1 }
  }

  focus(): void {
    this.#input.focus()
  }

  #repaint(): void {
    const sql = this.text
    const painted = document.createDocumentFragment()
    let end = 0
    for (const token of tokenize(sql)) {
      painted.append(sql.slice(end, token.start))
      const span = document.createElement("span")
      span.className = `t-${token.kind}`
      if (this.#mark && token.start < this.#mark.end && token.end > this.#mark.start) span.classList.add("wrong")
      span.textContent = sql.slice(token.start, token.end)
      painted.append(span)
      end = token.end
    }
    painted.append(`${sql.slice(end)}\n`)
    this.#paint.replaceChildren(painted)
    this.#follow()
  }

  #follow(): void {
    this.#paint.scrollTop = this.#input.scrollTop
    this.#paint.scrollLeft = this.#input.scrollLeft
  }
}
