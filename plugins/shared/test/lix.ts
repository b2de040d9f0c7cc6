/** A lix with one file, as small as can be: what a plugin detects is kept, and applied again. */

import assert from "node:assert/strict"
import { Ajv } from "ajv"
import type {
  DetectedChange,
  EntityRow,
  LixPlugin,
  Schema,
  Snapshot,
  StateQuery,
} from "../src/contract.ts"

export class OneFile {
  readonly rows = new Map<string, EntityRow>()
  /** How many rows the plugin read in its last call. */
  read = 0
  #written = false

  constructor(
    readonly plugin: LixPlugin,
    readonly metadata: Record<string, unknown> | null = null,
  ) {}

  /** Writes the file, checks that it reads back the same, and tells what changed. */
  write(content: string | Uint8Array): DetectedChange[] {
    const data = typeof content === "string" ? new TextEncoder().encode(content) : content
    const changes = this.detect(data)
    const seen = new Set<string>()
    for (const { entity_id, schema, snapshot_content } of changes) {
      assert.ok(entity_id.length > 0 && !/\0/.test(entity_id), "an id for the engine")
      assert.ok(isWellFormed(entity_id), "ids are text")
      const key = `${schema["x-lix-key"]} ${entity_id}`
      assert.ok(!seen.has(key), `${key} once`)
      seen.add(key)
      if (snapshot_content === null) assert.ok(this.rows.delete(key), `${key} was there`)
      else this.rows.set(key, { entity_id, schema_key: schema["x-lix-key"], snapshot_content: stored(schema, snapshot_content) })
    }
    this.#written = true
    assert.deepEqual(this.bytes(), Buffer.from(data), "reads back what was written")
    return changes
  }

  detect(data: Uint8Array): DetectedChange[] {
    const before = this.#written ? { before: { ...this.#file(), data: this.bytes() } } : {}
    const call = { ...before, after: { ...this.#file(), data }, querySync: () => this.#query() }
    const again = this.plugin.detectChanges(call)
    this.read = 0
    const changes = this.plugin.detectChanges(call)
    assert.deepEqual(again, changes, "the same question, the same answer")
    return changes
  }

  bytes(): Buffer {
    // In no particular order.
    const changes = [...this.rows.values()].reverse()
    const { hidden: _, ...file } = this.#file()
    return Buffer.from(this.plugin.applyChanges({ file, changes }).fileData)
  }

  text(): string {
    return this.bytes().toString()
  }

  ids(schemaKey: string): string[] {
    return [...this.rows.values()].filter((row) => row.schema_key === schemaKey).map((row) => row.entity_id)
  }

  copy(): OneFile {
    const copy = new OneFile(this.plugin, this.metadata)
    for (const [key, row] of this.rows) copy.rows.set(key, row)
    copy.#written = this.#written
    return copy
  }

  #file() {
    return { id: "file-1", path: "/file", metadata: this.metadata, hidden: false }
  }

  #query(): StateQuery {
    let rows = [...this.rows.values()].map((row) => ({ ...row, file_id: "file-1", plugin_key: this.plugin.key }))
    const query: StateQuery = {
      where(column, _operator, value) {
        const wanted = new Set(Array.isArray(value) ? value : [value])
        rows = rows.filter((row) => wanted.has(row[column as keyof typeof row]))
        return query
      },
      select: () => query,
      execute: () => {
        this.read += rows.length
        return rows
      },
    }
    return query
  }
}

/** As the engine keeps it: checked against its schema, and through JSON. */
function stored(schema: Schema, snapshot: Snapshot): Snapshot {
  const key = schema["x-lix-key"]
  let check = checks.get(key)
  if (!check) checks.set(key, (check = ajv.compile(schema)))
  assert.ok(check(snapshot), `${JSON.stringify(snapshot)}: ${ajv.errorsText(check.errors)}`)
  return JSON.parse(JSON.stringify(snapshot), (_, value: unknown) => {
    assert.ok(typeof value !== "string" || isWellFormed(value), "snapshots are text")
    return value
  }) as Snapshot
}

function isWellFormed(text: string): boolean {
  return !/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(text)
}

const ajv = new Ajv({ strict: false })
const checks = new Map<string, ReturnType<typeof ajv.compile>>()
