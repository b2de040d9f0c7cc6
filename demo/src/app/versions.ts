// Versions: making, switching, and merging with a look at what would happen first.
import { createVersion, type Lix, mergeVersion, switchVersion } from "lix-engine/lix"
import { count } from "../shared/format.ts"
import { type Status, statusOf, tellable } from "./describe.ts"
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

/** Asks for a name, makes the version and switches to it. */
export async function newVersion(lix: Lix, versions: readonly Version[]): Promise<void> {
  const answer = await ask({
    title: "A version to try something",
    body: [h("p", {}, "It begins with everything as it is now. What you change there stays there until you merge it."), field("name", "Name", "draft", { maxlength: 60 })],
    confirm: "Make it and switch",
    check: ({ name = "" }) => (name.trim() === "" ? "It needs a name." : versions.some((version) => version.name === name.trim()) ? "There is one of that name." : undefined),
  })
  if (!answer) return
  const name = answer["name"]!.trim()
  await lix.db.transaction().execute(async (db) => {
    const version = await createVersion({ lix: { db }, name })
    await switchVersion({ lix: { db }, to: version })
  })
}

/** Shows what a merge into the active version would do, and does it if that is wanted; tells whether it did. */
export async function mergeWithPreview(lix: Lix, source: Version, target: Version): Promise<boolean> {
  const changes = await mergePreview(lix, source.id, target.id)
  const incoming = changes.filter(({ side }) => side !== "back")
  const told = tellable(incoming).filter(({ before, after }) => JSON.stringify(before) !== JSON.stringify(after))
  const back = changes.filter(({ side }) => side === "back")
  const both = told.filter(({ side }) => side === "both")
  const files = group(told)
  // What only the target changed is no news: there is nothing to merge.
  const nothing = incoming.length === 0
  const answer = await ask({
    id: "merge-dialog",
    wide: true,
    title: `Merge ${source.name} into ${target.name}`,
    body: [
      h("p", { id: "merge-summary" }, incoming.length === 0 ? `${target.name} has everything of ${source.name} already.` : `${count(told.length, "entity", "entities")} in ${count(files.length, "file")} ${told.length === 1 ? "comes" : "come"} over.`),
      both.length > 0 && h("p", { class: "warn" }, `${count(both.length, "entity", "entities")} changed in both; what ${source.name} says stays.`),
      h("ul", { class: "file-cards" }, ...files.map((file) => fileCard(file).make())),
      !nothing &&
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
  if (!answer || nothing) return false
  await mergeKeeping(lix, source, target, answer["keep"] === "on" ? back : [])
  return true
}

/** Merges, and puts back in the same transaction what the target alone had changed. */
async function mergeKeeping(lix: Lix, source: Version, target: Version, back: readonly MergeChange[]): Promise<void> {
  await lix.db.transaction().execute(async (db) => {
    await mergeVersion({ lix: { db }, source, target })
    for (const { entityId, schemaKey, fileId, before, after, beforeChangeId } of back) {
      if (before !== null && after !== null) {
        await db.updateTable("state").set({ snapshot_content: JSON.stringify(before) }).where("entity_id", "=", entityId).where("schema_key", "=", schemaKey).where("file_id", "=", fileId).execute()
      } else if (before !== null) {
        const columns = ["entity_id", "schema_key", "file_id", "plugin_key", "snapshot_content", "schema_version"] as const
        await db.insertInto("state").columns(columns).expression(db.selectFrom("change").select(columns).where("id", "=", beforeChangeId) as never).execute()
      } else await db.deleteFrom("state").where("entity_id", "=", entityId).where("schema_key", "=", schemaKey).where("file_id", "=", fileId).execute()
    }
  })
}

function group(changes: readonly MergeChange[]): FileChange[] {
  const files = new Map<string, FileChange & { entities: MergeChange[]; counts: Record<Status, number> }>()
  for (const change of changes) {
    const file = files.get(change.fileId) ?? { fileId: change.fileId, path: change.path, entities: [], counts: { added: 0, modified: 0, removed: 0 } }
    file.entities.push(change)
    file.counts[statusOf(change)] += 1
    files.set(change.fileId, file)
  }
  return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}
