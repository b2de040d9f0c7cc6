// Versions: making, switching, and merging with a look at what would happen first.
import { applyChangeSet, createChangeSet, createVersion, type Lix, mergeVersion, switchVersion } from "lix-engine/lix"
import { count } from "../shared/format.ts"
import { tellable } from "./describe.ts"
import { ask, type Child, field, h, icon } from "./dom.ts"
import { fileCard } from "./panels.ts"
import { type FileChange, type MergeChange, mergePreview } from "./queries.ts"

export interface Version {
  readonly id: string
  readonly name: string
  readonly active: string | null
}

export interface VersionActions {
  switchTo(version: Version): void
  create(): void
  merge(source: Version, target: Version): void
  remove(version: Version): void
}

export function versionMenu(versions: readonly Version[], { switchTo, create, merge, remove }: VersionActions, close: () => void): Child[] {
  const active = versions.find((version) => version.active !== null)
  const act = (action: () => void) => () => {
    close()
    action()
  }
  return [
    h("p", { class: "menu-title" }, "Versions"),
    ...versions.map((version) =>
      h(
        "div",
        { class: "menu-row" },
        h(
          "button",
          { type: "button", class: "menu-item", "data-version": version.name, "aria-current": version === active ? "true" : undefined, onclick: act(() => version !== active && switchTo(version)) },
          version === active ? icon("check") : h("span", { class: "icon" }),
          h("span", {}, version.name),
        ),
        version !== active && active && h("button", { type: "button", class: "button small", "data-merge": version.name, onclick: act(() => merge(version, active)) }, `Merge into ${active.name}…`),
        version !== active && version.name !== "main" && h("button", { type: "button", class: "button small quiet square", "aria-label": `Delete ${version.name}`, title: `Delete ${version.name}`, onclick: act(() => remove(version)) }, icon("trash")),
      ),
    ),
    h("hr"),
    h("button", { type: "button", class: "menu-item", id: "new-version", onclick: act(create) }, icon("branch"), h("span", {}, `New version of ${active?.name ?? "this"}…`)),
  ]
}

/** Asks for a name, makes the version and switches to it. Resolves to its name; undefined if nobody wanted it. */
export async function newVersion(lix: Lix, versions: readonly Version[]): Promise<string | undefined> {
  const answer = await ask({
    title: "A version to try something",
    body: [h("p", {}, "It begins with everything as it is now. What you change there stays there until you merge it."), field("name", "Name", "draft", { maxlength: 60 })],
    confirm: "Make it and switch",
    check: ({ name = "" }) => (name.trim() === "" ? "It needs a name." : versions.some((version) => version.name === name.trim()) ? "There is one of that name." : undefined),
  })
  if (!answer) return undefined
  const name = answer["name"]!.trim()
  await lix.db.transaction().execute(async (db) => {
    const version = await createVersion({ lix: { db }, name })
    await switchVersion({ lix: { db }, to: version })
  })
  return name
}

/** Shows what a merge would do and does it if that is wanted. Resolves to how many entities came over; undefined if it was not wanted. */
export async function mergeWithPreview(lix: Lix, source: Version, target: Version): Promise<number | undefined> {
  const changes = await mergePreview(lix, source.id, target.id)
  const incoming = changes.filter(({ side }) => side !== "back")
  const back = changes.filter(({ side }) => side === "back")
  const both = tellable(changes.filter(({ side }) => side === "both"))
  const files = group(incoming)
  const nothing = incoming.length === 0 && back.length === 0
  const answer = await ask({
    id: "merge-dialog",
    wide: true,
    title: `Merge ${source.name} into ${target.name}`,
    body: [
      h("p", { id: "merge-summary" }, incoming.length === 0 ? `${target.name} has everything of ${source.name} already.` : `${count(tellable(incoming).length, "entity", "entities")} in ${count(files.length, "file")} ${tellable(incoming).length === 1 ? "comes" : "come"} over.`),
      both.length > 0 && h("p", { class: "warn" }, `${count(both.length, "entity", "entities")} changed in both; what ${source.name} says stays.`),
      h("ul", { class: "file-cards" }, ...files.map((file) => fileCard(file).make())),
      back.length > 0 &&
        h(
          "label",
          { class: "choice" },
          h("input", { type: "checkbox", name: "keep", checked: true }),
          h("span", {}, `Keep what changed only in ${target.name} since (${count(tellable(back).length, "entity", "entities")}). Otherwise ${target.name} will show just what ${source.name} shows.`),
        ),
    ],
    confirm: nothing ? "Fine" : "Merge",
  })
  if (!answer || nothing) return undefined
  if (back.length > 0 && answer["keep"] === "on") return take(lix, incoming)
  await mergeVersion({ lix, source, target })
  return changes.length
}

/** Applies just these changes, in one transaction. */
async function take(lix: Lix, changes: readonly MergeChange[]): Promise<number> {
  if (changes.length === 0) return 0
  const elements = changes.map(({ changeId, entityId, schemaKey, fileId }) => ({ change_id: changeId, entity_id: entityId, schema_key: schemaKey, file_id: fileId }))
  await lix.db.transaction().execute(async (db) => {
    const changeSet = await createChangeSet({ lix: { db }, elements, lixcol_version_id: "global" })
    await applyChangeSet({ lix: { db }, changeSet })
  })
  return changes.length
}

function group(changes: readonly MergeChange[]): FileChange[] {
  const files = new Map<string, { fileId: string; path: string; entities: MergeChange[] }>()
  for (const change of changes) {
    const file = files.get(change.fileId) ?? { fileId: change.fileId, path: change.path, entities: [] }
    file.entities.push(change)
    files.set(change.fileId, file)
  }
  return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}
