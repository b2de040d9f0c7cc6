// A text area over a painted copy of itself, as tall as its text.
import { h } from "./dom.ts"
import type { Kind } from "./examples.ts"
import { paint } from "./paint.ts"

export class TextEditor {
  readonly element: HTMLElement
  readonly #area: HTMLTextAreaElement
  readonly #copy = h("pre", { "aria-hidden": "true" })
  #kind: Kind | "text" | "file" = "text"

  constructor(onInput: () => void) {
    this.#area = h("textarea", { spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": "Content of the file", "aria-describedby": "file-status" })
    this.#area.addEventListener("input", () => {
      this.#paint()
      onInput()
    })
    this.#area.addEventListener("keydown", (event) => this.#key(event))
    this.element = h("div", { class: "text-editor" }, h("div", { class: "sheet" }, this.#copy, this.#area))
  }

  get text(): string {
    return this.#area.value
  }

  show(kind: Kind | "text" | "file", text: string): void {
    this.#kind = kind
    this.element.dataset["kind"] = kind
    this.#area.spellcheck = kind === "markdown"
    if (text !== this.#area.value) {
      const { selectionStart, selectionEnd } = this.#area
      this.#area.value = text
      this.#area.setSelectionRange(Math.min(selectionStart, text.length), Math.min(selectionEnd, text.length))
    }
    this.#paint()
  }

  focus(): void {
    this.#area.focus()
  }

  #paint(): void {
    // The last line break makes a line only if something follows it.
    this.#copy.innerHTML = `${paint(this.#kind, this.#area.value)}\n`
  }

  #key(event: KeyboardEvent): void {
    if (this.#kind !== "markdown" || !(event.ctrlKey || event.metaKey) || event.altKey) return
    const around = { b: "**", i: "*", e: "`" }[event.key]
    if (around === undefined) return
    event.preventDefault()
    const { selectionStart, selectionEnd, value } = this.#area
    const selected = value.slice(selectionStart, selectionEnd)
    // The only way to change a text area that the visitor can undo.
    document.execCommand("insertText", false, `${around}${selected}${around}`)
    this.#area.setSelectionRange(selectionStart + around.length, selectionEnd + around.length)
  }
}
