// Whether what was written is kept: the engine's own word for it, never a guess.
//
// `status()` costs nothing and is true between calls too, so this asks it whenever
// something may have changed, and shows what it says: a word in the header, and a
// line below it when somebody has to know.
import type { EngineStatus, LixEngine } from "lix-engine"
import { bytes } from "./format.ts"

export interface Standing {
  readonly state: "opening" | "busy" | "saved" | "unsaved" | "saving" | "failed" | "aside" | "memory" | "ended"
  readonly text: string
  /** The rest of the story, for those who hover. */
  readonly title: string
  /** What has to be read. */
  readonly notice?: string
  /** What can be done about it. */
  readonly action?: Action
}

export interface Action {
  readonly id: string
  readonly label: string
  run(): void
}

/** What there is to say about an engine whose database should be kept, or need not be. */
export function standingOf(engine: LixEngine, shouldStay: boolean): Standing {
  const status = engine.status()
  const { phase, storage, path, suspended, saving, unsaved, lastSaveError } = status
  if (phase === "failed" || phase === "closed") return { state: "ended", text: unsaved ? "Ended, not saved" : "Ended", title: "The engine has ended." }
  if (storage === undefined) return OPENING
  if (storage === "memory") return shouldStay ? NO_STORAGE : IN_MEMORY
  if (suspended) {
    return {
      state: "aside",
      text: unsaved ? "Set aside, not saved" : "Set aside",
      title: "The page was put aside and let its file go.",
      ...(lastSaveError && { notice: `${lastSaveError.message}. What you change now is in this tab only; it is saved as soon as the file can be had again.` }),
    }
  }
  // It stays readable while the engine tries again.
  const problem: Pick<Standing, "notice" | "action"> = lastSaveError
    ? {
        notice: `The last save failed: ${lastSaveError.reason}, ${lastSaveError.message}. Nothing is lost while this tab is open, and the engine tries again by itself.`,
        action: { id: "save-now", label: "Try now", run: () => void engine.save().catch(() => {}) },
      }
    : {}
  if (saving) return { state: "saving", text: "Saving…", title: `Writing commit ${status.commitSeq} to ${path}.`, ...problem }
  if (lastSaveError) return { state: "failed", text: "Not saved", title: `Saved up to commit ${status.savedSeq} of ${status.commitSeq}.`, ...problem }
  if (unsaved) return { state: "unsaved", text: "Not saved yet", title: `Commit ${status.commitSeq} is saved in a moment.` }
  const text = engine.state.inTransaction ? "Saved up to the transaction" : "Saved"
  return { state: "saved", text, title: `${path}: ${lastWrite(status)} ${promise(status)}` }
}

function lastWrite({ lastSave }: EngineStatus): string {
  return lastSave ? `commit ${lastSave.commitSeq}, ${bytes(lastSave.bytes)} written at ${lastSave.at.toLocaleTimeString()}.` : "as it was found."
}

function promise({ persisted }: EngineStatus): string {
  return persisted ? "The browser keeps it until you clear it." : "The browser may clear it when the disk is nearly full."
}

export class SaveBadge {
  readonly #badge: HTMLElement
  readonly #notice: HTMLElement
  #look: (() => Standing) | undefined
  #stop = () => {}

  constructor(badge: HTMLElement, notice: HTMLElement) {
    this.#badge = badge
    this.#notice = notice
    // That the file was let go, and that it is back, is told by no event.
    setInterval(() => this.refresh(), LOOK_AGAIN_MS)
    this.show(OPENING)
  }

  /** Shows this engine from now on. */
  follow(engine: LixEngine, shouldStay: boolean): void {
    this.#stop()
    const stops = [engine.on("autosave", () => this.refresh()), engine.on("closed", () => this.refresh())]
    this.#stop = () => stops.forEach((stop) => stop())
    this.#look = () => standingOf(engine, shouldStay)
    this.refresh()
  }

  /** Shows something that no engine can say, since there is none. */
  show(standing: Standing): void {
    this.#stop()
    this.#look = undefined
    this.#paint(standing)
  }

  refresh(): void {
    if (this.#look) this.#paint(this.#look())
  }

  #paint({ state, text, title, notice, action }: Standing): void {
    if (this.#badge.dataset["state"] !== state) this.#badge.dataset["state"] = state
    if (this.#badge.title !== title) this.#badge.title = title
    if (this.#badge.textContent !== text) this.#badge.textContent = text
    const shown = notice ?? ""
    if (this.#notice.dataset["text"] === shown) return
    this.#notice.dataset["text"] = shown
    this.#notice.dataset["state"] = state
    this.#notice.hidden = shown === ""
    const line = document.createElement("span")
    line.textContent = shown
    this.#notice.replaceChildren(line)
    if (!action) return
    const button = document.createElement("button")
    button.type = "button"
    button.id = action.id
    button.className = "button small"
    button.textContent = action.label
    button.addEventListener("click", () => action.run())
    this.#notice.append(button)
  }
}

export const OPENING: Standing = { state: "opening", text: "Opening…", title: "" }

/** Another tab has it; `tryAgain` is the visitor's to press. */
export function busyStanding(path: string, tryAgain: () => void): Standing {
  return {
    state: "busy",
    text: "Open in another tab",
    title: "One tab at a time has a database open.",
    notice: `${path} is open in another tab. One tab at a time can have it: close the other one, then try again.`,
    action: { id: "try-again", label: "Try again", run: tryAgain },
  }
}

/** Another tab saved to it while this page was put aside; two histories cannot be joined. */
export function lostStanding({ path, unsaved }: EngineStatus, openAgain: () => void): Standing {
  return {
    state: "ended",
    text: "Changed in another tab",
    title: "The engine has ended, so that nothing is overwritten.",
    notice: `Another tab has changed ${path} while this page was put aside.${unsaved ? " What was changed here meanwhile is not saved." : ""}`,
    action: { id: "open-again", label: "Open it again", run: openAgain },
  }
}

const IN_MEMORY: Standing = { state: "memory", text: "Not stored", title: "A copy of your file, in memory; it ends with the page. Export keeps it." }
const NO_STORAGE: Standing = {
  ...IN_MEMORY,
  title: "In memory; it ends with the page. Export keeps it.",
  notice: "This browser offers no file storage here (a private window, or a page without HTTPS), so the database is in memory only: what you change is gone when the page is closed. Export keeps it.",
}
const LOOK_AGAIN_MS = 250
