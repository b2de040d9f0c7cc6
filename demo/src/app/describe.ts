// What an entity is called and what it says, for people: one line of a card.
import { diffWordsWithSpace } from "diff"
import { bytes } from "../shared/format.ts"
import { type Child, h } from "./dom.ts"

export type Snapshot = Readonly<Record<string, unknown>>

/** An entity before and after; null is not there. */
export interface EntityChange {
  readonly entityId: string
  readonly schemaKey: string
  readonly before: Snapshot | null
  readonly after: Snapshot | null
}

export type Status = "added" | "modified" | "removed"

export function statusOf({ before, after }: EntityChange): Status {
  return before === null ? "added" : after === null ? "removed" : "modified"
}

/** What kind of thing it is: "paragraph", "row", "property". */
export function kindOf(schemaKey: string, snapshot: Snapshot | null): string {
  if (schemaKey === DESCRIPTOR) return "file"
  if (schemaKey === UNKNOWN) return "content"
  const type = snapshot?.["type"]
  if (schemaKey.includes("markdown") && typeof type === "string") return words(type)
  const own = /^(?:lix_)?plugin_[a-z]+_(.+)$/.exec(schemaKey)?.[1] ?? schemaKey.replace(/^lix_/, "")
  return words(own)
}

/** What it says, in a line or a few. */
export function textOf(schemaKey: string, entityId: string, snapshot: Snapshot | null): string {
  if (snapshot === null) return ""
  if (schemaKey === DESCRIPTOR) return String(snapshot["path"])
  if (schemaKey === UNKNOWN) return `${bytes(Number(snapshot["size"]))}, SHA-256 ${String(snapshot["hash"]).slice(0, 12)}…`
  for (const name of ["markdown", "source", "text", "raw", "content"]) if (typeof snapshot[name] === "string") return snapshot[name].trimEnd()
  const cells = snapshot["cells"] ?? snapshot["columns"] ?? snapshot["values"]
  if (Array.isArray(cells)) return cells.map(plain).join("  ·  ")
  if (cells !== null && typeof cells === "object") return Object.values(cells as object).map(plain).join("  ·  ")
  const name = snapshot["key"] ?? snapshot["property"] ?? (entityId.startsWith("/") ? entityId.slice(1).replaceAll("/", " › ") : undefined)
  if ("value" in snapshot) return `${name === undefined ? "" : `${plain(name)}: `}${plain(snapshot["value"])}`
  const said = Object.fromEntries(Object.entries(snapshot).filter(([property]) => property !== "order" && property !== "id"))
  return JSON.stringify(said)
}

/** A card's line: what changed in one entity, word by word. */
export function entityLine(change: EntityChange): HTMLElement {
  const { schemaKey, entityId, before, after } = change
  const status = statusOf(change)
  const was = clip(textOf(schemaKey, entityId, before))
  const is = clip(textOf(schemaKey, entityId, after))
  const body: Child[] = status === "modified" ? (was === is ? [h("span", {}, is), h("em", {}, movedOr(before!, after!))] : inlineDiff(was, is)) : [h(status === "added" ? "ins" : "del", {}, status === "added" ? is : was)]
  return h("li", { class: "entity", "data-status": status, "data-entity": entityId }, h("span", { class: "kind" }, kindOf(schemaKey, after ?? before)), h("span", { class: "said" }, ...body))
}

/** A text's change, word by word. */
export function inlineDiff(before: string, after: string): Child[] {
  if (before.length + after.length > MAX_WORD_DIFF) return [h("del", {}, before), h("ins", {}, after)]
  return diffWordsWithSpace(before, after).map(({ added, removed, value }) => (added ? h("ins", {}, value) : removed ? h("del", {}, value) : value))
}

/** How many of each: "2 added, 1 changed". */
export function tally({ added, modified, removed }: Readonly<Record<Status, number>>): string {
  const each = { added, changed: modified, removed }
  return Object.entries(each).flatMap(([what, number]) => (number > 0 ? `${number.toLocaleString("en-US")} ${what}` : [])).join(", ")
}

/** Entities of a file in an order people can follow; what only says how the file is written is left out. */
export function tellable<Change extends EntityChange>(changes: readonly Change[]): Change[] {
  return changes
    .filter(({ schemaKey, before, after }) => !schemaKey.endsWith("_document") && (after ?? before)?.["container"] === undefined)
    .map((change): [string, Change] => [orderOf(change), change])
    .sort(([a], [b]) => a.localeCompare(b, "en", { numeric: a.startsWith("3") }))
    .map(([, change]) => change)
}

export const DESCRIPTOR = "lix_file_descriptor"
const UNKNOWN = "lix_unknown_file"

function orderOf({ after, before, entityId, schemaKey }: EntityChange): string {
  if (schemaKey === DESCRIPTOR) return ""
  if (schemaKey.endsWith("_header")) return "1"
  // The order of JSON is one among siblings; its entity ids are pointers.
  const order = entityId.startsWith("/") ? undefined : (after ?? before)?.["order"]
  return typeof order === "string" ? `2${[...order].map((letter) => letter.charCodeAt(0).toString(16)).join("")}` : `3${entityId}`
}

function movedOr(before: Snapshot, after: Snapshot): string {
  return before["order"] !== after["order"] ? " moved" : " changed"
}

function words(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, "$1 $2").replaceAll("_", " ").toLowerCase()
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value)
}

function clip(text: string): string {
  return text.length > MAX_SAID ? `${text.slice(0, MAX_SAID)}…` : text
}

const MAX_SAID = 400
const MAX_WORD_DIFF = 20_000
