// The open file: an editor that stores as one types, and a slider through everything the file has been.
//
// What is typed becomes a write half a second after the last key. The plugin in the worker turns it
// into entities; if it cannot (half a JSON document), nothing is stored, the page says why, and the
// next key tries again.
import { EngineError } from "lix-engine"
import { type Lix, type LixSubscription } from "lix-engine/lix"
import { ago, bytes, count } from "../shared/format.ts"
import { compare, textIn } from "./compare.ts"
import { CsvGrid } from "./csv-grid.ts"
import type { EntityChange } from "./describe.ts"
import { $, h, icon, reconcile } from "./dom.ts"
import { kindOfPath } from "./examples.ts"
import { render } from "./markdown.ts"
import { entitiesOfStep, fileAt, fileContent, lineOf, type Step, stepsOf } from "./queries.ts"
import { TextEditor } from "./text-editor.ts"

export interface FileViewEvents {
  nameOf(account: string): string
  onSteps(steps: readonly Step[], selected: Step | undefined, entities: readonly EntityChange[] | undefined): void
  onGone(): void
}

type Mode = "write" | "split" | "read" | "table" | "text"

export class FileView {
  readonly #events: FileViewEvents
  readonly #text = new TextEditor(() => this.#typed())
  readonly #grid = new CsvGrid(() => this.#typed())
  readonly #preview = h("article", { class: "preview", "aria-label": "Preview" })
  readonly #slider = $<HTMLInputElement>("slider")
  /** A narrow window has room for one of the two. */
  #modes: Record<string, Mode> = { markdown: matchMedia("(max-width: 600px)").matches ? "write" : "split", csv: "table" }
  #lix: Lix | undefined
  #id: string | undefined
  #path = ""
  #subscriptions: LixSubscription[] = []
  /** What the lix has, as text; undefined is no text. */
  #stored: string | undefined
  #data: Uint8Array = new Uint8Array()
  #isDirty = false
  #timer: ReturnType<typeof setTimeout> | undefined
  #dirtySince = 0
  #writing: Promise<void> | undefined
  #steps: Step[] = []
  /** The step that is looked at instead of the present. */
  #past: Step | undefined
  #looks = 0

  constructor(events: FileViewEvents) {
    this.#events = events
    this.#slider.addEventListener("input", () => this.#slide(Number(this.#slider.value)))
    $("earlier").addEventListener("click", () => this.#slide(Number(this.#slider.value) - 1))
    $("later").addEventListener("click", () => this.#slide(Number(this.#slider.value) + 1))
  }

  get id(): string | undefined {
    return this.#id
  }

  get path(): string {
    return this.#path
  }

  /** Shows a file and what becomes of it, until another is shown. What was typed into the last one has to be flushed before. */
  open(lix: Lix, id: string): void {
    this.close()
    this.#lix = lix
    this.#id = id
    let isFirst = true
    const error = (problem: unknown) => this.#say("failed", message(problem))
    this.#subscriptions = [
      lix.observe(fileContent(lix, id)).subscribe({
        next: ([row]) => {
          if (!row) return this.#events.onGone()
          this.#arrived(row.path, row.data, isFirst)
          isFirst = false
        },
        error,
      }),
      lix.observe(lineOf(id)).subscribe({ next: (line) => this.#lined(stepsOf(line)), error }),
    ]
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const subscription of this.#subscriptions) subscription.unsubscribe()
    this.#subscriptions = []
    this.#id = undefined
    this.#stored = undefined
    this.#isDirty = false
    this.#past = undefined
    this.#steps = []
    this.#looks += 1
    $("file-head").hidden = true
    $("timeline").hidden = true
    $("file-body").replaceChildren(h("p", { class: "empty" }, "Pick a file, or make a new one."))
    this.#say("none", "")
    this.#events.onSteps([], undefined, undefined)
  }

  /** Resolves when what was typed is stored, or cannot be. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    while (this.#writing) await this.#writing
    if (this.#isDirty) await this.#write()
  }

  /**
   * Does something that may change the file under the editor (another version, a merge). What was typed is stored before,
   * nothing can be typed meanwhile, and afterwards the editor has what the lix has: words of one version never get into another.
   */
  async settle(change: () => Promise<void>): Promise<void> {
    const body = $("file-body")
    body.inert = true
    try {
      await this.flush()
      await change()
      const [lix, id] = [this.#lix, this.#id]
      if (!lix || id === undefined) return
      const row = await fileContent(lix, id).executeTakeFirst()
      if (row && this.#id === id) this.#arrived(row.path, row.data, false)
    } finally {
      body.inert = false
    }
  }

  /** Looks at a step; the newest is the present. */
  look(commit: string): void {
    const index = this.#steps.findIndex((step) => step.commit === commit)
    if (index >= 0) this.#slide(this.#steps.length - 1 - index)
  }

  focus(): void {
    if (this.#past) return
    if (this.#mode === "table") this.#grid.focus()
    else this.#text.focus()
  }

  get #mode(): Mode {
    const kind = kindOfPath(this.#path)
    return this.#modes[kind] ?? "text"
  }

  // ── Content ──────────────────────────────────────────────────────────────

  #arrived(path: string, data: Uint8Array, isFirst: boolean): void {
    const hasMoved = path !== this.#path
    this.#path = path
    const text = textIn(data)
    this.#data = data
    if (!isFirst && !hasMoved) {
      // What somebody is just typing is newer than anything that was stored.
      if (this.#isDirty || (text !== undefined && text === this.#stored)) return
      const isShown = text !== undefined && text === this.#current()
      this.#stored = text
      if (isShown) return
    }
    this.#stored = text
    this.#isDirty = false
    if (!this.#past) this.#showPresent()
  }

  #current(): string | undefined {
    return this.#stored === undefined ? undefined : this.#mode === "table" ? this.#grid.text : this.#text.text
  }

  #showPresent(): void {
    const kind = kindOfPath(this.#path)
    this.#head()
    $("editor").dataset["past"] = "false"
    $("past-bar").hidden = true
    const body = $("file-body")
    body.dataset["mode"] = this.#mode
    const text = this.#stored
    if (text === undefined) {
      body.replaceChildren(binary(this.#path, this.#data))
      return this.#say("stored", "Kept as it is")
    }
    if (this.#mode === "table") {
      this.#grid.show(text)
      body.replaceChildren(this.#grid.element)
    } else {
      this.#text.show(kind, text)
      const parts = kind !== "markdown" ? [this.#text.element] : this.#mode === "read" ? [this.#preview] : this.#mode === "write" ? [this.#text.element] : [this.#text.element, this.#preview]
      body.replaceChildren(...parts)
      this.#renderPreview(text)
    }
    this.#sayStored()
  }

  #renderPreview(text: string): void {
    if (kindOfPath(this.#path) === "markdown") this.#preview.innerHTML = render(text)
  }

  #head(): void {
    $("file-head").hidden = false
    $("file-path").textContent = this.#path
    const kind = kindOfPath(this.#path)
    const modes: [Mode, string][] = kind === "markdown" ? [["write", "Write"], ["split", "Both"], ["read", "Read"]] : kind === "csv" ? [["table", "Table"], ["text", "Text"]] : []
    const selected = this.#mode
    reconcile(
      $("modes"),
      modes.map(([mode, label]) => ({
        key: mode,
        signature: `${label}${mode === selected}`,
        make: () => h("button", { type: "button", class: "button small", "aria-pressed": String(mode === selected), onclick: () => void this.#setMode(kind, mode) }, label),
      })),
    )
  }

  async #setMode(kind: string, mode: Mode): Promise<void> {
    const text = this.#current()
    const isDirty = this.#isDirty
    this.#modes[kind] = mode
    if (this.#past || text === undefined) return this.#head()
    const stored = this.#stored
    this.#stored = text
    this.#showPresent()
    this.#stored = stored
    this.#isDirty = isDirty
  }

  // ── Storing ──────────────────────────────────────────────────────────────

  #typed(): void {
    if (!this.#isDirty) this.#dirtySince = performance.now()
    this.#isDirty = true
    this.#say("editing", "Editing…")
    if (this.#mode !== "table") this.#renderPreview(this.#text.text)
    clearTimeout(this.#timer)
    const left = this.#dirtySince + MAX_DELAY_MS - performance.now()
    this.#timer = setTimeout(() => void this.flush(), Math.max(0, Math.min(QUIET_MS, left)))
  }

  async #write(): Promise<void> {
    const lix = this.#lix
    const id = this.#id
    const text = this.#current()
    if (!lix || id === undefined || text === undefined) return
    this.#isDirty = false
    if (text === this.#stored) return this.#sayStored()
    const write = async () => {
      this.#say("writing", "Storing…")
      try {
        await lix.db.updateTable("file").set({ data: new TextEncoder().encode(text) }).where("id", "=", id).execute()
        if (this.#id !== id) return
        this.#stored = text
        if (!this.#isDirty) this.#sayStored()
      } catch (error) {
        if (this.#id !== id) return
        this.#isDirty = true
        this.#dirtySince = performance.now()
        this.#say("invalid", `Not stored: ${message(error)}`)
      }
    }
    this.#writing = write().finally(() => (this.#writing = undefined))
    await this.#writing
  }

  #sayStored(): void {
    const newest = this.#steps[0]
    this.#say("stored", newest ? `${newest.authors.length > 0 ? `Stored by ${names(newest, this.#events)}` : newest.isMerge ? "Merged" : "Stored"} at ${new Date(newest.at).toLocaleTimeString([], { timeStyle: "short" })}` : "Stored")
  }

  #say(state: string, text: string): void {
    const status = $("file-status")
    status.dataset["state"] = state
    status.textContent = text
    status.title = text
    // That all is well is there to be looked at; that it is not has to be heard.
    status.setAttribute("aria-live", state === "invalid" || state === "failed" ? "assertive" : "off")
  }

  // ── The past ─────────────────────────────────────────────────────────────

  #lined(steps: Step[]): void {
    this.#steps = steps
    const last = steps.length - 1
    // A file of one step has nowhere to slide to.
    $("timeline").hidden = steps.length < 2
    this.#slider.max = String(Math.max(0, last))
    if (this.#past) {
      const index = steps.findIndex((step) => step.commit === this.#past!.commit)
      if (index < 0) return this.#present()
      this.#slider.value = String(last - index)
    } else this.#slider.value = String(last)
    const dots = [...steps].reverse().slice(-MAX_DOTS)
    reconcile(
      $("dots"),
      dots.map((step) => ({ key: step.commit, signature: `${step.isCheckpoint}${step.isMerge}`, make: () => h("i", { "data-checkpoint": step.isCheckpoint, "data-merge": step.isMerge }) })),
    )
    if (!this.#past && !this.#isDirty && $("file-status").dataset["state"] !== "invalid") this.#sayStored()
    this.#label()
    void this.#tell()
  }

  #slide(place: number): void {
    const step = this.#steps[this.#steps.length - 1 - place]
    if (!step) return
    this.#slider.value = String(place)
    if (place === this.#steps.length - 1) return this.#present()
    this.#past = step
    this.#label()
    void this.#showPast(step)
    void this.#tell()
  }

  #present(): void {
    this.#looks += 1
    const wasPast = this.#past !== undefined
    this.#past = undefined
    this.#slider.value = this.#slider.max
    this.#label()
    if (wasPast) {
      const isDirty = this.#isDirty
      if (!isDirty) this.#showPresent()
    }
    void this.#tell()
  }

  async #showPast(step: Step): Promise<void> {
    const lix = this.#lix!
    const id = this.#id!
    const look = ++this.#looks
    await this.flush()
    try {
      const [is, was] = await Promise.all([fileAt(lix, id, step.commit), fileAt(lix, id, step.parent)])
      if (look !== this.#looks) return
      const body = $("file-body")
      $("editor").dataset["past"] = "true"
      body.dataset["mode"] = "past"
      const bar = $("past-bar")
      bar.hidden = false
      bar.replaceChildren(
        icon("clock"),
        h("span", {}, h("strong", {}, `Step ${this.#place(step)} of ${this.#steps.length}`), ` · ${names(step, this.#events)} · ${new Date(step.at).toLocaleString()}`),
        h("span", { class: "grow" }),
        is && is.path === this.#path ? h("button", { type: "button", class: "button small primary", id: "restore", onclick: () => void this.#restore(is.data) }, "Restore this") : null!,
        h("button", { type: "button", class: "button small", id: "to-present", onclick: () => this.#present() }, "Back to now"),
      )
      body.replaceChildren(is ? compare(is.path, was?.data, is.data) : h("p", { class: "empty" }, "The file was deleted here."))
      body.scrollTop = 0
      this.#say("past", `Looking at step ${this.#place(step)}`)
    } catch (error) {
      if (look === this.#looks) this.#say("failed", message(error))
    }
  }

  async #restore(data: Uint8Array): Promise<void> {
    const id = this.#id!
    try {
      await this.settle(async () => {
        await this.#lix!.db.updateTable("file").set({ data }).where("id", "=", id).execute()
        this.#present()
      })
    } catch (error) {
      this.#say("failed", message(error))
    }
  }

  #label(): void {
    const step = this.#past ?? this.#steps[0]
    const label = $("step-label")
    const isPast = this.#past !== undefined
    $<HTMLButtonElement>("earlier").disabled = Number(this.#slider.value) <= 0
    $<HTMLButtonElement>("later").disabled = Number(this.#slider.value) >= this.#steps.length - 1
    if (!step) return label.replaceChildren()
    const text = `Step ${this.#place(step)} of ${this.#steps.length}`
    this.#slider.setAttribute("aria-valuetext", `${text}, ${names(step, this.#events)}, ${ago(step.at)}`)
    label.replaceChildren(h("strong", {}, isPast ? text : "Now"), h("span", {}, isPast ? `${names(step, this.#events)}, ${ago(step.at)}, ${count(step.entities, "entity", "entities")}` : count(this.#steps.length, "step")))
  }

  /** Tells what the step that is looked at, or else the newest, did. */
  async #tell(): Promise<void> {
    const lix = this.#lix
    const id = this.#id
    const step = this.#past ?? this.#steps[0]
    this.#events.onSteps(this.#steps, step, undefined)
    if (!lix || id === undefined || !step) return
    try {
      const entities = await entitiesOfStep(lix, id, step)
      if (this.#id === id && (this.#past ?? this.#steps[0])?.commit === step.commit) this.#events.onSteps(this.#steps, step, entities)
    } catch (error) {
      if (this.#id === id) this.#say("failed", message(error))
    }
  }

  #place(step: Step): number {
    return this.#steps.length - this.#steps.findIndex((other) => other.commit === step.commit)
  }
}

/** What went wrong, for whoever typed it. */
export function message(error: unknown): string {
  if (!(error instanceof EngineError)) return error instanceof Error ? error.message : String(error)
  // A plugin's own words, without who says them.
  return error.code === "PLUGIN" ? error.message.replace(/^.*?plugin [^:]*: /i, "") : error.message
}

/** Who made a step. A merge and a change set that was applied are nobody's. */
export function names(step: { readonly authors: readonly string[]; readonly isMerge?: boolean }, { nameOf }: Pick<FileViewEvents, "nameOf">): string {
  return step.authors.map(nameOf).join(" and ") || (step.isMerge ? "merged" : "taken over")
}

function binary(path: string, data: Uint8Array): HTMLElement {
  const type = IMAGES[path.slice(path.lastIndexOf(".") + 1).toLowerCase()]
  const note = h("p", {}, `${bytes(data.length)} that are no text. The lix keeps every state of them.`)
  if (type === undefined) return h("div", { class: "empty" }, note)
  const url = URL.createObjectURL(new Blob([data as Uint8Array<ArrayBuffer>], { type }))
  return h("div", { class: "empty" }, h("img", { src: url, alt: path, onload: () => URL.revokeObjectURL(url) }), note)
}

const IMAGES: Record<string, string> = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", svg: "image/svg+xml" }
const QUIET_MS = 500
const MAX_DELAY_MS = 2_500
const MAX_DOTS = 80
