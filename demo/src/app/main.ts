// The app: files of one lix, edited together, with everything they ever were.
//
// Nothing here knows SQLite, messages or storage: there is an engine in a worker, a lix on top of it,
// and queries that say when their rows change.
import { EngineError, opfs } from "lix-engine"
import { createCheckpoint, type LixSubscription, sql, switchAccount, switchVersion } from "lix-engine/lix"
import { count } from "../shared/format.ts"
import { startProbe } from "../shared/probe.ts"
import { busyStanding, lostStanding, OPENING, SaveBadge } from "../shared/saving.ts"
import { setUpTheme } from "../shared/theme.ts"
import { $, ask, type Child, download, field, h, icon, menu, reconcile } from "./dom.ts"
import { type Kind, KINDS, kindOfPath, manyRows } from "./examples.ts"
import { FileView, message } from "./file-view.ts"
import { avatar, keepTime, showActivity, showChanges, showHistory } from "./panels.ts"
import { accounts, byFile, type DiffRow, deeds, deedsOf, type FileRow, files, versions, workingDiff } from "./queries.ts"
import { ACCOUNTS, createLix, deleteStored, freeName, importLix, lastLix, type OpenedLix, openStored, pathOf, storedLixes } from "./store.ts"
import { mergeWithPreview, newVersion, type Version, versionMenu } from "./versions.ts"

let opened: OpenedLix | undefined
let subscriptions: LixSubscription[] = []
let fileRows: FileRow[] = []
/** How often the visitor has chosen a file. */
let choices = 0
let versionRows: Version[] = []
let diffRows: DiffRow[] = []
let peopleNames = new Map<string, string>()
let hasAskedToPersist = false

const people = { nameOf: (id: string) => peopleNames.get(id) ?? "somebody" }
const saving = new SaveBadge($("saving"), $("notice"))
const view = new FileView({
  ...people,
  onSteps: (steps, selected, entities) => showHistory(steps, selected, entities, people, (commit) => view.look(commit)),
  onGone: () => openFile(fileRows[0]?.id),
})

setUpTheme($<HTMLButtonElement>("theme"), () => {})
setUpFiles()
setUpVersions()
setUpLibrary()
setUpSides()
keepTime()
void start()

// ── Opening ────────────────────────────────────────────────────────────────

/** The lix that was open last; on the first visit one with examples. */
async function start(): Promise<void> {
  const last = await lastLix()
  if (last === undefined) await change("Making a lix…", () => createLix("Danube", true), "Danube")
  else await openNamed(last)
}

async function openNamed(name: string): Promise<void> {
  await change("Opening…", () => openStored(name, RELOAD_WAIT_MS), name)
}

/** Opens another lix beside the one that is open, and lets that go when it worked. */
async function change(what: string, open: () => Promise<OpenedLix>, name?: string): Promise<boolean> {
  toast("")
  saving.show({ ...OPENING, text: what })
  document.body.removeAttribute("data-ready")
  try {
    await view.flush()
    const next = await open()
    await leave()
    follow(next)
    return true
  } catch (error) {
    if (opened) saving.follow(opened.engine, true)
    else {
      saving.show({ state: "ended", text: "Not open", title: "" })
      $("library-name").textContent = name ?? "Lixes"
      $("file-body").replaceChildren(h("p", { class: "empty" }, "Nothing is open in this tab."))
    }
    if (error instanceof EngineError && error.reason === "STORAGE_BUSY" && name !== undefined) {
      if (opened) toast(`${name} is open in another tab. Close it there, then try again.`, true)
      else saving.show({ ...busyStanding(name, () => void openNamed(name)), notice: `${name} is open in another tab. A lix is open in one tab at a time: close the other one and try again, or open another lix here.` })
    } else if (error instanceof EngineError && error.reason === "IMAGE_INVALID" && name !== undefined) offerRescue(name, error)
    else toast(message(error), true)
    if (opened) document.body.dataset["ready"] = "true"
    return false
  }
}

async function leave(): Promise<void> {
  const left = opened
  if (!left) return
  opened = undefined
  view.close()
  for (const subscription of subscriptions) subscription.unsubscribe()
  subscriptions = []
  await left.lix.close().catch((error: unknown) => toast(`${left.name} was not saved: ${message(error)}`, true))
}

/** Shows a lix from now on. */
function follow(next: OpenedLix): void {
  opened = next
  document.body.dataset["open"] = "true"
  const { lix, engine, name } = next
  // For the console: `await lix.db.selectFrom("file").select("path").execute()`.
  Object.assign(globalThis, { lix })
  $("library-name").textContent = name
  document.title = `${name} · Lix`
  saving.follow(engine, true)
  engine.on("closed", ({ error }) => {
    if (opened !== next) return
    if (error.reason === "STORAGE_LOST") saving.show(lostStanding(engine.status(), () => void openNamed(name)))
    else toast(message(error), true)
  })
  let isFirst = true
  const error = (problem: unknown) => toast(message(problem), true)
  subscriptions = [
    lix.observe(accounts(lix)).subscribe({ next: showAccounts, error }),
    lix.observe(versions(lix)).subscribe({ next: (rows) => showVersions(rows), error }),
    lix.observe(files(lix)).subscribe({
      next: (rows) => {
        fileRows = rows
        showFiles()
        if (isFirst) openFile((asked() ?? rows.find(({ path }) => path.endsWith(".md")) ?? rows[0])?.id)
        else if (view.id === undefined || !rows.some(({ id }) => id === view.id)) openFile(rows[0]?.id)
        isFirst = false
        document.body.dataset["ready"] = "true"
      },
      error,
    }),
    lix.observe(workingDiff()).subscribe({
      next: (rows) => {
        diffRows = rows
        showWorkingDiff()
        showFiles()
      },
      error,
    }),
    lix.observe(deeds()).subscribe({ next: (rows) => showActivity(deedsOf(rows), people, chooseFile), error }),
  ]
}

/** What is kept cannot be opened: it is not touched, and can be taken away. */
function offerRescue(name: string, error: EngineError): void {
  saving.show({
    state: "failed",
    text: "Damaged",
    title: "",
    notice: `What is kept of ${name} is damaged (${error.message}) and was not touched. Other lixes can still be opened.`,
    action: { id: "take-raw", label: "Download the damaged file", run: () => void opfs.readRaw(pathOf(name)).then((content) => download(content, `${name}.damaged`)) },
  })
}

// ── Files ──────────────────────────────────────────────────────────────────

function showFiles(): void {
  const changed = new Set(diffRows.map(({ file_id }) => file_id))
  reconcile(
    $("files-list"),
    fileRows.map(({ id, path }) => ({
      key: id,
      signature: JSON.stringify([path, id === view.id, changed.has(id)]),
      make: () => {
        const slash = path.lastIndexOf("/")
        const kind = kindOfPath(path)
        return h(
          "li",
          {},
          h(
            "button",
            { type: "button", class: "file", "data-path": path, "aria-current": id === view.id ? "true" : undefined, onclick: () => chooseFile(id) },
            icon(kind === "text" ? "file" : kind),
            h("span", { class: "file-name" }, slash > 0 && h("span", { class: "file-dir" }, path.slice(1, slash + 1)), path.slice(slash + 1)),
            changed.has(id) && h("span", { class: "dot", role: "img", "aria-label": "changed since the last checkpoint", title: "Changed since the last checkpoint" }),
          ),
        )
      },
    })),
  )
  $("files-empty").hidden = fileRows.length > 0
}

/** What the visitor asked for: a file that arrives meanwhile does not take its place. */
function chooseFile(id: string | undefined): void {
  choices += 1
  openFile(id)
}

function openFile(id: string | undefined): void {
  if (!opened) return
  const { lix } = opened
  void view.flush().then(() => {
    if (opened?.lix !== lix || id === view.id) return
    if (id === undefined || !fileRows.some((file) => file.id === id)) view.close()
    else view.open(lix, id)
    const path = fileRows.find((file) => file.id === id)?.path
    if (path !== undefined) history.replaceState(null, "", `#${encodeURI(path)}`)
    showFiles()
  })
  if (document.body.dataset["view"] === "files") showPart("edit")
}

/** The file that the address names. */
function asked(): FileRow | undefined {
  const path = decodeURI(location.hash.slice(1))
  return fileRows.find((file) => file.path === path)
}

function setUpFiles(): void {
  addEventListener("hashchange", () => chooseFile(asked()?.id ?? view.id))
  const picker = $<HTMLInputElement>("add-file-input")
  menu($<HTMLButtonElement>("new-file"), "New file", (close) => [
    ...Object.entries(KINDS).map(([kind, { label, hint }]) =>
      h(
        "button",
        { type: "button", class: "menu-item", "data-new": kind, onclick: () => (close(), void newFile(kind as Kind)) },
        icon(kind as Kind),
        h("span", {}, label, h("small", {}, hint)),
      ),
    ),
    h("hr"),
    h("button", { type: "button", class: "menu-item", onclick: () => (close(), picker.click()) }, icon("file"), h("span", {}, "From this computer…", h("small", {}, "Anything; or drop it on the page"))),
    h(
      "button",
      { type: "button", class: "menu-item", id: "heavy", onclick: () => (close(), void writeHeavily()) },
      icon("csv"),
      h("span", {}, `A table of ${count(HEAVY_ROWS, "row")}`, h("small", {}, "And how long the page was deaf meanwhile")),
    ),
  ])
  picker.addEventListener("change", () => {
    void addFiles([...(picker.files ?? [])])
    picker.value = ""
  })
  $("rename").addEventListener("click", () => void renameFile())
  $("delete").addEventListener("click", () => void deleteFile())
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
    void addFiles([...event.dataTransfer!.files])
  })
  addEventListener("keydown", (event) => {
    if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return
    event.preventDefault()
    void act(async ({ engine }) => {
      await view.flush()
      await engine.save()
    })
  })
  // What was typed in the last half second is stored before the page is put away.
  addEventListener("visibilitychange", () => document.visibilityState === "hidden" && void view.flush())
}

async function newFile(kind: Kind): Promise<void> {
  const { label, ending, text } = KINDS[kind]
  const answer = await ask({ title: `New ${label} file`, body: [field("path", "Path", `/untitled${ending}`, { pattern: "/.*", maxlength: 200 })], confirm: "Make it", check: ({ path = "" }) => wrongPath(path, ending) })
  if (!answer) return
  const path = answer["path"]!.trim()
  const name = path.slice(path.lastIndexOf("/") + 1, -ending.length)
  await insert(path, new TextEncoder().encode(text(name)))
  view.focus()
}

async function addFiles(added: readonly File[]): Promise<void> {
  const before = choices
  for (const file of added) {
    if (file.name.endsWith(".lix")) {
      await importFile(file)
      continue
    }
    const path = freePath(`/${file.name.replaceAll(/[\\/\n\r]/g, " ")}`)
    await insert(path, new Uint8Array(await file.arrayBuffer()), before)
  }
}

/** Makes a file and shows it, unless the visitor has chosen another since `before`. */
async function insert(path: string, data: Uint8Array, before = choices): Promise<void> {
  await act(async ({ lix }) => {
    const known = new Set(fileRows.map(({ id }) => id))
    await lix.db.insertInto("file").values({ path, data }).execute()
    fileRows = await files(lix).execute()
    if (choices === before) openFile(fileRows.find((file) => file.path === path && !known.has(file.id))?.id)
    showFiles()
    askToPersist()
  })
}

async function renameFile(): Promise<void> {
  const id = view.id
  if (id === undefined) return
  const answer = await ask({ title: "Rename", body: [field("path", "Path", view.path, { maxlength: 200 })], confirm: "Rename", check: ({ path = "" }) => (path.trim() === view.path ? undefined : wrongPath(path, "")) })
  const path = answer?.["path"]?.trim()
  if (path === undefined || path === view.path) return
  await act(async ({ lix }) => {
    await view.flush()
    await lix.db.updateTable("file").set({ path }).where("id", "=", id).execute()
  })
}

async function deleteFile(): Promise<void> {
  const id = view.id
  if (id === undefined) return
  const path = view.path
  const isSure = await ask({ title: `Delete ${path}?`, body: [h("p", {}, "It goes from this version. Its history stays in the lix, and other versions keep it.")], confirm: "Delete", danger: true })
  if (isSure) await act(({ lix }) => lix.db.deleteFrom("file").where("id", "=", id).execute())
}

/** The experiment: a thousand entities made by a plugin in the worker, while the page is watched. */
async function writeHeavily(): Promise<void> {
  await act(async ({ lix }) => {
    const before = choices
    const path = freePath("/towns.csv")
    const data = new TextEncoder().encode(manyRows(HEAVY_ROWS))
    const probe = startProbe()
    const startedAt = performance.now()
    await lix.db.insertInto("file").values({ path, data }).execute()
    const ms = performance.now() - startedAt
    const { longestBlockMs } = await probe.stop()
    const { rows } = await sql<{ n: number }>`select count(*) as n from state where file_id = (select id from file where path = ${path})`.execute(lix.db)
    toast(`${count(rows[0]!.n, "entity", "entities")} stored in ${ms.toFixed(0)} ms. The page was deaf for ${longestBlockMs.toFixed(1)} ms at most.`)
    Object.assign($("toast").dataset, { longestBlockMs: longestBlockMs.toFixed(1), entities: String(rows[0]!.n), path })
    fileRows = await files(lix).execute()
    if (choices === before) openFile(fileRows.find((file) => file.path === path)?.id)
  })
}

function wrongPath(path: string, ending: string): string | undefined {
  const wanted = path.trim()
  if (!wanted.startsWith("/") || wanted.endsWith("/") || wanted.includes("//") || wanted.includes("\\")) return "A path begins with a slash, and has names between slashes."
  if (!wanted.endsWith(ending)) return `The path of such a file ends in ${ending}.`
  return fileRows.some((file) => file.path === wanted) ? "There is a file of that name." : undefined
}

function freePath(wanted: string): string {
  const dot = wanted.lastIndexOf(".")
  const [stem, ending] = dot > 0 ? [wanted.slice(0, dot), wanted.slice(dot)] : [wanted, ""]
  let path = wanted
  for (let number = 2; fileRows.some((file) => file.path === path); number += 1) path = `${stem}-${number}${ending}`
  return path
}

// ── Versions, people, checkpoints ──────────────────────────────────────────

function setUpVersions(): void {
  menu($<HTMLButtonElement>("version"), "Versions", (close) =>
    versionMenu(
      versionRows,
      {
        switchTo: (version) =>
          void act(async ({ lix }) => {
            await view.settle(() => switchVersion({ lix, to: version }))
          }),
        create: () =>
          void act(async ({ lix }) => {
            await view.settle(() => newVersion(lix, versionRows))
          }),
        merge: (source, target) =>
          void act(async ({ lix }) => {
            await view.settle(async () => {
              if (await mergeWithPreview(lix, source, target)) toast(`${source.name} is merged into ${target.name}.`)
            })
          }),
        remove: (version) =>
          void act(async ({ lix }) => {
            const isSure = await ask({ title: `Delete ${version.name}?`, body: [h("p", {}, "Its commits stay in the lix; what was not merged can no longer be switched to.")], confirm: "Delete", danger: true })
            if (isSure) await lix.db.deleteFrom("version").where("id", "=", version.id).execute()
          }),
      },
      close,
    ),
  )
  $("checkpoint").addEventListener(
    "click",
    () =>
      void act(async ({ lix }) => {
        await view.flush()
        await createCheckpoint({ lix })
        toast("Checkpoint. From here on, changes are counted anew.")
      }),
  )
}

function showVersions(rows: readonly Version[]): void {
  versionRows = [...rows]
  const active = rows.find((version) => version.active !== null)
  $("version-name").textContent = active?.name ?? "no version"
  $("version").dataset["main"] = String(active?.name === "main")
}

function showAccounts(rows: readonly { id: string; name: string; active: string | null }[]): void {
  peopleNames = new Map(rows.map(({ id, name }) => [id, name]))
  const shown = rows.filter(({ id, active }) => active !== null || ACCOUNTS.some((account) => account.id === id))
  reconcile(
    $("accounts"),
    shown.map(({ id, name, active }) => ({
      key: id,
      signature: `${name}${active}`,
      make: () =>
        h(
          "button",
          { type: "button", class: "person", "data-account": id, "aria-pressed": String(active !== null), title: active !== null ? `${name} is writing` : `Go on as ${name}`, onclick: () => void act(async ({ lix }) => (await view.flush(), switchAccount({ lix, to: [{ id }] }))) },
          avatar(id, name),
          h("span", {}, name),
        ),
    })),
  )
}

function showWorkingDiff(): void {
  showChanges(byFile(diffRows, (id) => fileRows.find((file) => file.id === id)?.path), chooseFile)
}

// ── The lixes of this browser ──────────────────────────────────────────────

function setUpLibrary(): void {
  const picker = $<HTMLInputElement>("import-input")
  let names: string[] = []
  const button = $<HTMLButtonElement>("library")
  // The list is known by the time the menu opens, or a moment later.
  const refresh = () => void storedLixes().then((stored) => (names = stored))
  button.addEventListener("pointerenter", refresh)
  button.addEventListener("focus", refresh)
  refresh()
  menu(button, "Lixes of this browser", (close) => {
    const list = h("div", { id: "library-list" })
    const fill = (known: readonly string[]) => list.replaceChildren(...known.map((name) => lixRow(name, close)))
    fill(names)
    void storedLixes().then(fill)
    const item = (id: string, glyph: Parameters<typeof icon>[0], text: string, hint: string, run: () => void): Child =>
      h("button", { type: "button", class: "menu-item", id, onclick: () => (close(), run()) }, icon(glyph), h("span", {}, text, h("small", {}, hint)))
    return [
      h("p", { class: "menu-title" }, "In this browser"),
      list,
      h("hr"),
      item("new-lix", "plus", "New lix…", "Files of their own, history of its own", () => void newLix()),
      item("import", "import", "Import a .lix file…", "It is kept beside the others", () => picker.click()),
      item("export", "export", "Export this one", "Everything, in one file", () => void exportLix()),
      h("hr"),
      h("a", { class: "menu-item", href: "./bench.html" }, icon("file"), h("span", {}, "The engine alone", h("small", {}, "Queries, and 200,000 rows on two threads"))),
    ]
  })
  picker.addEventListener("change", () => {
    const file = picker.files?.[0]
    picker.value = ""
    if (file) void importFile(file)
  })
}

function lixRow(name: string, close: () => void): HTMLElement {
  const isOpen = name === opened?.name
  return h(
    "div",
    { class: "menu-row" },
    h("button", { type: "button", class: "menu-item", "data-lix": name, "aria-current": isOpen ? "true" : undefined, onclick: () => (close(), isOpen || void openNamed(name)) }, isOpen ? icon("check") : h("span", { class: "icon" }), h("span", {}, name)),
    !isOpen && h("button", { type: "button", class: "button small quiet square", "aria-label": `Delete ${name}`, title: `Delete ${name}`, onclick: () => (close(), void deleteLix(name)) }, icon("trash")),
  )
}

async function newLix(): Promise<void> {
  const names = await storedLixes()
  const answer = await ask({
    title: "New lix",
    body: [
      field("name", "Name", await freeName("Notes"), { maxlength: 60, pattern: "[^\\/\\\\]+" }),
      h("label", { class: "choice" }, h("input", { type: "checkbox", name: "examples" }), h("span", {}, "With example files")),
    ],
    confirm: "Make it",
    check: ({ name = "" }) => (name.trim() === "" || /^\.+$/.test(name.trim()) ? "It needs a name." : names.includes(name.trim().normalize("NFC")) ? "There is one of that name." : undefined),
  })
  if (answer) await change("Making a lix…", () => createLix(answer["name"]!.trim().normalize("NFC"), answer["examples"] === "on"))
}

async function deleteLix(name: string): Promise<void> {
  const isSure = await ask({ title: `Delete ${name}?`, body: [h("p", {}, "All its files, versions and history go from this browser. Export it first if you may want it again.")], confirm: "Delete", danger: true })
  if (!isSure) return
  try {
    await deleteStored(name)
    toast(`${name} is deleted.`)
  } catch (error) {
    toast(message(error), true)
  }
}

async function importFile(file: File): Promise<void> {
  if (await change(`Importing ${file.name}…`, () => importLix(file))) toast(`${file.name} is imported as ${opened!.name}.`)
}

async function exportLix(): Promise<void> {
  await act(async ({ lix, name }) => {
    await view.flush()
    download(await lix.toBlob(), `${name}.lix`)
  })
}

// ── The page ───────────────────────────────────────────────────────────────

/** Does something with the open lix; what goes wrong is said. */
async function act(what: (open: OpenedLix) => Promise<unknown>): Promise<void> {
  if (!opened) return
  try {
    await what(opened)
  } catch (error) {
    toast(message(error), true)
  } finally {
    saving.refresh()
  }
}

/** Now that there is something worth keeping. Where the browser asks the visitor, it does so once. */
function askToPersist(): void {
  if (hasAskedToPersist || opened?.engine.status().storage !== "opfs") return
  hasAskedToPersist = true
  void opfs.requestPersistence().then(() => saving.refresh())
}

function setUpSides(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("[data-part]")) button.addEventListener("click", () => showPart(button.dataset["part"]!))
  const tabs = [...$("side-tabs").querySelectorAll<HTMLButtonElement>("[role=tab]")]
  $("side-tabs").addEventListener("keydown", (event) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0
    if (step === 0) return
    const next = tabs[(tabs.indexOf(document.activeElement as HTMLButtonElement) + step + tabs.length) % tabs.length]!
    showPart(next.dataset["part"]!)
    next.focus()
  })
  showPart("history")
  showPart("edit")
}

/** Which part a narrow window shows; beside the editor of a wide one, which of the three panels. */
function showPart(part: string): void {
  document.body.dataset["view"] = part
  for (const button of document.querySelectorAll("#parts [data-part]")) button.setAttribute("aria-pressed", String((button as HTMLElement).dataset["part"] === part))
  if (!["history", "changes", "activity"].includes(part)) return
  for (const tab of document.querySelectorAll<HTMLElement>("#side-tabs [data-part]")) {
    const isOn = tab.dataset["part"] === part
    tab.setAttribute("aria-selected", String(isOn))
    tab.tabIndex = isOn ? 0 : -1
    $(`${tab.dataset["part"]}-panel`).hidden = !isOn
  }
}

let toastTimer: ReturnType<typeof setTimeout> | undefined
function toast(text: string, isProblem = false): void {
  const box = $("toast")
  clearTimeout(toastTimer)
  box.hidden = text === ""
  box.dataset["problem"] = String(isProblem)
  box.replaceChildren(h("span", {}, text), h("button", { type: "button", class: "link", "aria-label": "Dismiss", onclick: () => (box.hidden = true) }, "×"))
  if (!isProblem) toastTimer = setTimeout(() => (box.hidden = true), TOAST_MS)
}

/** A page that is reloaded may have to wait for its own end. */
const RELOAD_WAIT_MS = 2_000
const HEAVY_ROWS = 1_000
const TOAST_MS = 8_000
