// The page: opens a database, runs what is asked, says whether it is saved, and races two threads.
import { type ColumnBatch, createMainMemoryEngine, createWorkerEngine, EngineError, opfs } from "lix-engine"
import { bytes } from "../shared/format.ts"
import { nextFrame, startProbe } from "../shared/probe.ts"
import { busyStanding, lostStanding, OPENING, SaveBadge } from "../shared/saving.ts"
import { setUpTheme } from "../shared/theme.ts"
import { Database, type OpenOptions, type Source } from "./database.ts"
import { Editor } from "./editor.ts"
import { EXAMPLES } from "./examples.ts"
import { plain, ResultGrid } from "./grid.ts"
import { Lane, startPulse, tidyMs } from "./lanes.ts"
import { ResultMap } from "./map.ts"
import { SchemaView } from "./schema.ts"
import { quoteName, utf16Offset } from "./sql-text.ts"
import { WORKLOADS } from "./workload.ts"

const $ = <E extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as E

const BUNDLED = {
  name: "places.sqlite",
  path: "demo/places.sqlite",
  async read() {
    const response = await fetch("./places.sqlite")
    if (!response.ok) throw new Error(`places.sqlite: ${response.status} ${response.statusText}`)
    return response.arrayBuffer()
  },
} satisfies Source
const NO_STATEMENT = { sql: "", start: 0 }
const STOP_PATIENCE_MS = 1_000
/** A page that is reloaded may have to wait for its own end. */
const RELOAD_WAIT_MS = 2_000
/** A worker that is ended in the middle of a statement keeps its file a few seconds longer. */
const RESTART_WAIT_MS = 10_000

let database: Database | undefined
let running: AbortController | undefined
let hasAskedToPersist = false

const saving = new SaveBadge($("saving"), $("notice"))
const editor = new Editor($<HTMLTextAreaElement>("sql"), $<HTMLPreElement>("sql-paint"), () => void run())
const map = new ResultMap($("map"), (row) => grid.activate(row, 0))
const grid = new ResultGrid($("grid"), { onActive: showCell })
const schema = new SchemaView($("schema-list"), (table) => {
  editor.text = `SELECT *\nFROM ${quoteName(table.name)}`
  void run()
})
const lanes = {
  worker: new Lane($("lane-worker"), "Worker", "<code>createWorkerEngine()</code> · one dot per frame drawn"),
  main: new Lane($("lane-main"), "Main thread", "<code>createMainMemoryEngine()</code> · one dot per frame drawn"),
}

setUpTheme($<HTMLButtonElement>("theme"), () => {
  lanes.worker.draw()
  lanes.main.draw()
  map.redraw()
})
startPulse($<HTMLCanvasElement>("pulse"), $("pulse-text"))
setUpQuery()
setUpFiles()
setUpRace()
void openBundled()

// ── Opening ────────────────────────────────────────────────────────────────

async function openBundled(options: OpenOptions = { busyWaitMs: RELOAD_WAIT_MS }): Promise<void> {
  clearProblem()
  saving.show(OPENING)
  $("status").textContent = "Opening the data set…"
  try {
    await open(BUNDLED, options)
    editor.text = EXAMPLES[0]!.sql
    await run()
    document.body.dataset["ready"] = "true"
  } catch (error) {
    $("status").textContent = "The data set could not be opened."
    if (database) saving.follow(database.engine, database.source.path !== undefined)
    if (error instanceof EngineError && error.reason === "STORAGE_BUSY") {
      saving.show(busyStanding(BUNDLED.path, () => void openBundled()))
      $("status").textContent = "Nothing is open in this tab."
    } else if (error instanceof EngineError && error.reason === "IMAGE_INVALID") offerRescue(error)
    else showProblem(error)
  }
}

/**
 * Opens a source beside the current one and switches only when it turns out to be a database. Only
 * the same path cannot be open twice, so that one is closed first.
 */
async function open(source: Source, options: OpenOptions = {}): Promise<void> {
  if (source.path !== undefined && database?.source.path === source.path) await leave(options.anew)
  const opened = await Database.open(source, options)
  try {
    await leave()
  } catch (error) {
    opened.engine.terminate()
    throw error
  }
  running?.abort()
  database = opened
  saving.follow(opened.engine, source.path !== undefined)
  opened.engine.on("closed", ({ error }) => {
    if (database !== opened) return
    if (error.reason === "STORAGE_LOST") saving.show(lostStanding(opened.engine.status(), () => void openBundled()))
    else showProblem(error)
  })
  $("fact-engine").textContent = opened.info.engineVersion
  $("fact-sqlite").textContent = opened.info.sqliteVersion
  $("fact-isolated").textContent = String(crossOriginIsolated)
  $("source").textContent = `${source.name} · ${bytes(opened.byteLength)}`
  $("credit").hidden = source !== BUNDLED
  $("examples").hidden = source !== BUNDLED
  await schema.show(opened)
}

/** Closes what is open; if that would lose something, it stays open and this rejects. */
async function leave(discardUnsaved = false): Promise<void> {
  const left = database
  if (!left) return
  const { phase, unsaved } = left.engine.status()
  if (phase !== "ready") return
  if (unsaved && !discardUnsaved) {
    if (left.engine.state.inTransaction) await left.engine.exec("ROLLBACK")
    await left.engine.save()
  }
  database = undefined
  await left.engine.close({ discardUnsaved })
}

async function openFile(file: File): Promise<void> {
  clearProblem()
  $("status").textContent = `Opening ${file.name}…`
  document.body.dataset["query"] = "running"
  try {
    await open({ name: file.name, read: () => file.arrayBuffer() })
    document.body.dataset["ready"] = "true"
    const tables = await database!.schema()
    if (tables.length > 0) {
      editor.text = `SELECT *\nFROM ${quoteName(tables[0]!.name)}`
      await run()
    } else clearResult("An empty database. Create something.")
  } catch (error) {
    showProblem(error, NO_STATEMENT, `${file.name} was not opened.`)
    $("status").textContent = `Still showing ${database?.source.name ?? "nothing"}.`
  }
  document.body.dataset["query"] = "done"
}

function setUpFiles(): void {
  const input = $<HTMLInputElement>("file")
  $("open").addEventListener("click", () => input.click())
  input.addEventListener("change", () => {
    const file = input.files?.[0]
    input.value = ""
    if (file) void openFile(file)
  })
  let depth = 0
  const hasFile = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false
  const show = (visible: boolean) => $("drop").classList.toggle("visible", visible)
  addEventListener("dragenter", (event) => hasFile(event) && show(++depth > 0))
  addEventListener("dragleave", (event) => hasFile(event) && show(--depth > 0))
  addEventListener("dragover", (event) => hasFile(event) && event.preventDefault())
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return
    event.preventDefault()
    show((depth = 0) > 0)
    const file = event.dataTransfer!.files[0]
    if (file) void openFile(file)
  })
  $("export").addEventListener("click", () => void exportDatabase())
  const about = $<HTMLDialogElement>("about-dialog")
  $("about").addEventListener("click", () => about.showModal())
  $("reset").addEventListener("click", () => void openBundled({ anew: true }))
}

async function exportDatabase(): Promise<void> {
  if (!database) return
  clearProblem()
  try {
    const image = await database.engine.export()
    download(image, database.source.name)
    $("status").textContent = `Exported ${database.source.name}, ${bytes(image.byteLength)}.`
  } catch (error) {
    showProblem(error)
  }
}

function download(content: ArrayBuffer, name: string): void {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

// ── Querying ───────────────────────────────────────────────────────────────

function setUpQuery(): void {
  if (/Mac|iPhone|iPad/.test(navigator.userAgent)) $("run-key").textContent = "⌘ ↵"
  $("run").addEventListener("click", () => void run())
  $("cancel").addEventListener("click", stop)
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") stop()
  })
  for (const example of EXAMPLES) {
    const button = document.createElement("button")
    button.type = "button"
    button.className = "button small quiet"
    button.textContent = example.label
    button.addEventListener("click", () => {
      editor.text = example.sql
      void run()
    })
    $("examples").append(button)
  }
  const toggle = $("map-toggle")
  toggle.addEventListener("click", () => {
    const shown = toggle.getAttribute("aria-pressed") !== "true"
    toggle.setAttribute("aria-pressed", String(shown))
    $("map").hidden = !shown
    if (shown) map.redraw()
  })
}

async function run(): Promise<void> {
  if (!database) return
  running?.abort()
  const current = new AbortController()
  running = current
  const used = database
  const statement = editor.statement
  clearProblem()
  $("run").hidden = true
  $("cancel").hidden = false
  $("status").textContent = "Running…"
  document.body.dataset["query"] = "running"
  const probe = startProbe()
  const startedAt = performance.now()
  let firstMs: number | undefined
  const onBatch = (batch: ColumnBatch) => {
    if (current.signal.aborted) return
    if (firstMs === undefined) {
      firstMs = performance.now() - startedAt
      startResult(batch.columns)
    }
    grid.append(batch)
    map.append(batch)
    if (grid.rowCount > batch.rowCount) $("status").textContent = `${count(grid.rowCount, "row")} so far…`
  }
  let measured: Promise<{ longestBlockMs: number }> | undefined
  try {
    const outcome = await used.run(statement.sql, current.signal, onBatch)
    const totalMs = performance.now() - startedAt
    measured = probe.stop()
    if (current.signal.aborted) return
    map.finish()
    const { longestBlockMs } = await measured
    if (current.signal.aborted) return
    const figures = [`${tidyMs(totalMs)} ms`, `longest main-thread block ${tidyMs(longestBlockMs)} ms`]
    if (firstMs === undefined) clearResult("")
    if (outcome.changes !== undefined) {
      figures.unshift(`${count(outcome.changes, "row")} changed`)
      if (outcome.lastInsertRowid !== undefined) figures.unshift(`last rowid ${outcome.lastInsertRowid}`)
    } else if (firstMs !== undefined) {
      if (grid.rowCount > 4_096) figures.unshift(`first ones after ${tidyMs(firstMs)} ms`)
      figures.unshift(grid.rowCount === 0 ? "No rows" : count(grid.rowCount, "row"))
    } else figures.unshift(outcome.streamed ? "No rows" : "Done")
    if (outcome.inTransaction) figures.push("a transaction is open")
    $("status").textContent = figures.join(" · ")
    if (outcome.committed && database === used) {
      void schema.show(used)
      askToPersist()
    }
  } catch (error) {
    if (running === current) {
      clearResult("")
      if (current.signal.aborted) $("status").textContent = "Stopped."
      else showProblem(error, statement)
    }
  } finally {
    await (measured ?? probe.stop())
    saving.refresh()
    if (running === current) {
      running = undefined
      finishRun()
    }
  }
}

/** Now that there is something worth keeping. Where the browser asks the visitor, it does so once. */
function askToPersist(): void {
  if (hasAskedToPersist || database?.engine.status().storage !== "opfs") return
  hasAskedToPersist = true
  void opfs.requestPersistence().then(() => saving.refresh())
}

function finishRun(): void {
  $("run").hidden = false
  $("cancel").hidden = true
  document.body.dataset["query"] = "done"
}

/** A stream ends at its next batch. A single step of wasm cannot be interrupted, only ended with its worker. */
function stop(): void {
  const stopping = running
  if (!stopping || stopping.signal.aborted) return
  stopping.abort()
  $("status").textContent = "Stopping…"
  setTimeout(() => {
    if (running === stopping) offerRestart()
  }, STOP_PATIENCE_MS)
}

function offerRestart(): void {
  const box = $("problem")
  const kept = database?.engine.status().storage === "opfs"
  const text = document.createElement("span")
  text.textContent = `The statement is inside one long step and cannot hear us. ${kept ? "A new worker can take over from what is saved." : "A new worker can take over; changes since the file was opened are lost."}`
  const restart = document.createElement("button")
  restart.type = "button"
  restart.id = "restart"
  restart.className = "button small"
  restart.textContent = "Restart the engine"
  restart.addEventListener("click", async () => {
    const hung = database!
    running = undefined
    clearProblem()
    $("status").textContent = "Restarting…"
    hung.engine.terminate()
    try {
      await open(hung.source, { busyWaitMs: RESTART_WAIT_MS })
      clearResult(kept ? "A new engine, and the database as it was saved." : "A new engine, and the file as it was.")
    } catch (error) {
      showProblem(error)
    }
    finishRun()
  })
  box.replaceChildren(text, restart)
  box.hidden = false
}

/** What is kept cannot be opened: it is not touched, can be taken away, and can be replaced. */
function offerRescue(error: EngineError): void {
  showProblem(error, NO_STATEMENT, "What is kept of the data set is damaged and was not touched.")
  const take = document.createElement("button")
  take.textContent = "Download the damaged file"
  take.addEventListener("click", async () => {
    download(await opfs.readRaw(BUNDLED.path), "damaged.bin")
  })
  const anew = document.createElement("button")
  anew.textContent = "Start with the original"
  anew.addEventListener("click", () => void openBundled({ anew: true }))
  for (const [id, button] of Object.entries({ "take-raw": take, "start-anew": anew })) {
    button.type = "button"
    button.id = id
    button.className = "button small"
  }
  $("problem").append(take, anew)
  $("status").textContent = "The data set could not be opened."
}

function startResult(columns: ColumnBatch["columns"]): void {
  grid.reset(columns)
  const drawable = map.reset(columns)
  $("map-toggle").hidden = !drawable
  $("map").hidden = !drawable || $("map-toggle").getAttribute("aria-pressed") !== "true"
  $("cell").replaceChildren()
}

function clearResult(status: string): void {
  startResult([])
  $("status").textContent = status
}

function showCell(row: number, column: number): void {
  const cell = grid.cell(row, column)
  const name = grid.columns[column]!.name
  const value = cell.view.value(cell.row)
  const size = typeof value === "string" ? count(value.length, "character") : value instanceof Uint8Array ? bytes(value.length) : ""
  const label = document.createElement("b")
  label.textContent = name
  const kind = document.createElement("i")
  kind.textContent = [cell.view.storageClass(cell.row), size].filter(Boolean).join(", ")
  const text = document.createElement("code")
  text.textContent = plain(cell).slice(0, 2_000)
  $("cell").replaceChildren(label, kind, text)
  map.mark(row)
}

function showProblem(error: unknown, statement = NO_STATEMENT, before = ""): void {
  const box = $("problem")
  const title = document.createElement("strong")
  const text = document.createElement("span")
  box.replaceChildren(title, text)
  if (error instanceof EngineError) {
    title.textContent = `${error.code} / ${error.reason}`
    text.textContent = error.message
    if (error.sqlOffset !== undefined && statement.sql !== "") {
      const offset = statement.start + utf16Offset(statement.sql, error.sqlOffset)
      const where = editor.markError(offset)
      const place = document.createElement("em")
      place.textContent = `line ${where!.line}, column ${where!.column}`
      box.append(place)
      box.dataset["offset"] = String(offset)
    }
  } else {
    title.textContent = "Error"
    text.textContent = error instanceof Error ? error.message : String(error)
  }
  if (before) text.textContent = `${before} ${text.textContent}`
  box.hidden = false
  $("status").textContent = "No result."
}

function clearProblem(): void {
  const box = $("problem")
  box.hidden = true
  box.replaceChildren()
  delete box.dataset["offset"]
  editor.markError(undefined)
}

// ── The race ───────────────────────────────────────────────────────────────

function setUpRace(): void {
  const select = $<HTMLSelectElement>("workload")
  for (const workload of WORKLOADS) select.append(new Option(workload.label, workload.id))
  const buttons = ["run-worker", "run-main", "run-both"].map((id) => $<HTMLButtonElement>(id))
  const onClick = (kinds: readonly ("worker" | "main")[]) => async () => {
    for (const button of [...buttons, select]) button.disabled = true
    document.body.dataset["race"] = "running"
    try {
      for (const kind of kinds) await race(kind)
    } catch (error) {
      showProblem(error)
    } finally {
      for (const button of [...buttons, select]) button.disabled = false
      document.body.dataset["race"] = "done"
    }
  }
  $("run-worker").addEventListener("click", onClick(["worker"]))
  $("run-main").addEventListener("click", onClick(["main"]))
  $("run-both").addEventListener("click", onClick(["worker", "main"]))
}

/** Both engines start the same way: fresh, empty, in memory. Starting them is not part of the race. */
async function race(kind: "worker" | "main"): Promise<void> {
  const workload = WORKLOADS.find(({ id }) => id === $<HTMLSelectElement>("workload").value)!
  const engine = kind === "worker" ? createWorkerEngine() : createMainMemoryEngine()
  try {
    await engine.init()
    await nextFrame()
    await lanes[kind].record((onProgress) => workload.run(engine, onProgress))
  } finally {
    await engine.close().catch(() => engine.terminate())
  }
  const scale = Math.max(lanes.worker.durationMs, lanes.main.durationMs)
  lanes.worker.rescale(scale)
  lanes.main.rescale(scale)
  showVerdict()
}

function showVerdict(): void {
  const block = (id: string) => Number($(id).dataset["longestBlockMs"] ?? NaN)
  const [worker, main] = [block("lane-worker"), block("lane-main")]
  const text = $("verdict")
  if (worker && main) text.textContent = `Same wasm, same SQL: the page waited ${tidyMs(worker)} ms at most with the worker, ${tidyMs(main)} ms without.`
  else if (worker) text.textContent = `Written, and the page never waited longer than ${tidyMs(worker)} ms. Now the same on the main thread?`
  else if (main) text.textContent = `Written, and the page froze for up to ${tidyMs(main)} ms at a time. Now the same in a worker?`
}

function count(n: number, noun: string): string {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`
}
