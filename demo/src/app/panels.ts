// What is beside the editor: the steps of the open file, what changed since the checkpoint, who did what.
import { ago, count } from "../shared/format.ts"
import { type EntityChange, entityLine, tally, tellable } from "./describe.ts"
import { $, type Child, h, icon, reconcile } from "./dom.ts"
import { names } from "./file-view.ts"
import type { Deed, FileChange, Step } from "./queries.ts"

export interface Names {
  nameOf(account: string): string
}

/** The steps of the open file, newest first; the one that is looked at tells its entities. */
export function showHistory(steps: readonly Step[], selected: Step | undefined, entities: readonly EntityChange[] | undefined, people: Names, look: (commit: string) => void): void {
  $("history-empty").hidden = steps.length > 0
  reconcile(
    $("history-list"),
    steps.map((step, index) => {
      const isSelected = step.commit === selected?.commit
      const shown = isSelected ? entities : undefined
      const by = names(step, people)
      return {
        key: step.commit,
        signature: JSON.stringify([steps.length - index, by, isSelected, shown?.length ?? (isSelected ? "…" : ""), step.isCheckpoint, index === 0]),
        make: () =>
          h(
            "li",
            { class: "step", "data-selected": isSelected, "data-commit": step.commit },
            h(
              "button",
              { type: "button", class: "step-button", "aria-current": isSelected ? "step" : undefined, onclick: () => look(step.commit) },
              step.authors.length > 0 ? avatar(step.authors[0], by) : h("span", { class: "sign" }, icon(step.isMerge ? "merge" : "clock")),
              h("span", { class: "step-what" }, h("strong", {}, step.isMerge ? "Merge" : index === steps.length - 1 ? "Beginning" : `Step ${steps.length - index}`), h("span", {}, step.authors.length > 0 && `${by} · `, time(step.at))),
              h("span", { class: "step-count", title: count(step.entities, "entity", "entities") }, step.entities.toLocaleString("en-US")),
            ),
            step.isCheckpoint && h("p", { class: "flag" }, icon("flag"), "Checkpoint"),
            isSelected && shown && h("div", { class: "step-detail" }, ...entityList(shown, shown.length < MAX_ENTITIES ? shown.length : step.entities)),
          ),
      }
    }),
  )
}

/** What happened since the last checkpoint, by file. */
export function showChanges(files: readonly FileChange[], open: (fileId: string) => void): void {
  const total = files.reduce((sum, { counts: { added, modified, removed } }) => sum + added + modified + removed, 0)
  $("changes-count").textContent = total > 0 ? total.toLocaleString("en-US") : ""
  $("changes-summary").textContent = total > 0 ? `${count(total, "entity", "entities")} in ${count(files.length, "file")} since the last checkpoint.` : "Nothing changed since the last checkpoint."
  $<HTMLButtonElement>("checkpoint").disabled = files.length === 0
  reconcile($("changes-list"), files.map((file) => fileCard(file, open)))
}

/** A file of a difference, as a card. */
export function fileCard({ fileId, path, entities, counts }: FileChange, open?: (fileId: string) => void): { key: string; signature: string; make(): HTMLElement } {
  return {
    key: fileId,
    signature: JSON.stringify([path, entities, counts]),
    make: () => {
      const title: Child = open ? h("button", { type: "button", class: "link", onclick: () => open(fileId) }, path) : h("strong", {}, path)
      return h("li", { class: "file-card", "data-path": path }, h("header", {}, title, h("span", {}, tally(counts) || "how it is written")), ...entityList(entities, counts.added + counts.modified + counts.removed))
    },
  }
}

/** The newest commits that touched files, whoever made them. */
export function showActivity(deeds: readonly Deed[], people: Names, open: (fileId: string) => void): void {
  $("activity-empty").hidden = deeds.length > 0
  reconcile(
    $("activity-list"),
    deeds.map((deed) => {
      const by = names(deed, people)
      const verb = deed.files.every(({ gone }) => gone) ? "deleted" : "changed"
      // Merges and checkpoints put together what others wrote: they have no author of their own.
      const title: Child[] = deed.what === "edit" ? [h("strong", {}, by), ` ${verb}`] : [h("strong", {}, deed.what === "merge" ? "Merge" : "Checkpoint")]
      return {
        key: deed.commit,
        signature: JSON.stringify([by, deed]),
        make: () =>
          h(
            "li",
            { class: "deed", "data-author": deed.authors.join(" "), "data-what": deed.what },
            deed.what === "edit" ? avatar(deed.authors[0], by) : h("span", { class: "sign" }, icon(deed.what === "merge" ? "merge" : "flag")),
            h(
              "div",
              {},
              h("p", {}, ...title, h("span", { class: "deed-at" }, time(deed.at))),
              h(
                "ul",
                { class: "deed-files" },
                ...deed.files.map(({ fileId, path, isHere, entities }) =>
                  h("li", {}, !isHere ? h("span", { class: "gone", title: "Not in this version" }, path) : h("button", { type: "button", class: "link", onclick: () => open(fileId) }, path), h("span", {}, count(entities, "entity", "entities"))),
                ),
              ),
            ),
          ),
      }
    }),
  )
}

export function avatar(id: string | undefined, name: string): HTMLElement {
  return h("span", { class: "avatar", "aria-hidden": "true", "data-who": id ?? "nobody" }, name.slice(0, 1).toUpperCase())
}

/** Times that stay true while nobody renders: see `keepTime`. */
export function time(at: string): HTMLTimeElement {
  return h("time", { datetime: at, title: new Date(at).toLocaleString() }, ago(at))
}

/** Lets every time on the page grow older. */
export function keepTime(): void {
  setInterval(() => {
    for (const element of document.querySelectorAll("time")) {
      const text = ago(element.dateTime)
      if (element.textContent !== text) element.textContent = text
    }
  }, 5_000)
}

/** The first of them, and how many more there are of `total`. */
function entityList(entities: readonly EntityChange[], total: number): HTMLElement[] {
  const shown = tellable(entities).slice(0, MAX_ENTITIES)
  const list = h("ul", { class: "entities" }, ...shown.map(entityLine))
  return total > shown.length ? [list, h("p", { class: "more" }, `and ${(total - shown.length).toLocaleString("en-US")} more`)] : [list]
}

const MAX_ENTITIES = 30
