// The sidebar: what is in the database. Native disclosure widgets, so the keyboard
// and screen readers work without a line of ours.
import type { Database, TableInfo } from "./database.ts"

export class SchemaView {
  readonly #list: HTMLElement
  readonly #onQuery: (table: TableInfo) => void
  #generation = 0

  constructor(list: HTMLElement, onQuery: (table: TableInfo) => void) {
    this.#list = list
    this.#onQuery = onQuery
  }

  /** Shows the tables; the row counts follow, one by one, so that a query waits for one of them at most. */
  async show(database: Database): Promise<void> {
    const generation = ++this.#generation
    delete this.#list.dataset["counted"]
    const open = new Set([...this.#list.querySelectorAll<HTMLDetailsElement>("details[open]")].map((item) => item.dataset["table"]))
    const tables = await database.schema()
    if (generation !== this.#generation) return
    const biggest = tables.length <= 8
    this.#list.replaceChildren(...tables.map((table) => this.#item(table, open.has(table.name) || (open.size === 0 && biggest && table.name === "place"))))
    if (tables.length === 0) this.#list.textContent = "This database has no tables yet."
    void this.#count(database, tables, generation)
  }

  async #count(database: Database, tables: readonly TableInfo[], generation: number): Promise<void> {
    for (const table of tables) {
      const count = await database.rowCount(table.name).catch(() => undefined)
      if (generation !== this.#generation) return
      const item = this.#list.querySelector<HTMLElement>(`details[data-table="${CSS.escape(table.name)}"] .count`)
      if (item) item.textContent = count === undefined ? "?" : count.toLocaleString("en")
    }
    this.#list.dataset["counted"] = "true"
  }

  #item(table: TableInfo, open: boolean): HTMLElement {
    const details = document.createElement("details")
    details.dataset["table"] = table.name
    details.open = open
    const summary = document.createElement("summary")
    summary.append(span("name", table.name))
    if (table.kind !== "table") summary.append(span("badge", table.kind))
    summary.append(span("count", "…"))
    const columns = document.createElement("ul")
    for (const column of table.columns) {
      const item = document.createElement("li")
      item.append(span("name", column.name), span("type", column.type || "any"))
      if (column.primaryKey) item.append(tag("key", "primary key"))
      if (column.notNull && !column.primaryKey) item.append(tag("not null", "NOT NULL"))
      if (column.generated) item.append(tag("generated", "generated column"))
      columns.append(item)
    }
    for (const index of table.indexes) {
      const item = document.createElement("li")
      item.className = "index"
      item.append(span("name", index), span("type", "index"))
      columns.append(item)
    }
    const query = document.createElement("button")
    query.type = "button"
    query.className = "link"
    query.textContent = "Show rows"
    query.setAttribute("aria-label", `Show the rows of ${table.name}`)
    query.addEventListener("click", () => this.#onQuery(table))
    details.append(summary, columns, query)
    return details
  }
}

function span(className: string, text: string): HTMLElement {
  const made = document.createElement("span")
  made.className = className
  made.textContent = text
  return made
}

function tag(text: string, title: string): HTMLElement {
  const made = span("tag", text)
  made.title = title
  return made
}
