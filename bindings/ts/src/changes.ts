/**
 * The rows of a commit event. They become objects when somebody looks, and only then.
 */

import { BatchData, type CellOptions } from "./columns.js"
import type { CommitEvent, RowBatch } from "./gen/engine_pb.js"
import { decodeRowsNow } from "./rows.js"
import type { EngineEvents, ResultColumn, RowObject, StateChange } from "./types.js"

export function commitOf(seq: number, event: CommitEvent): EngineEvents["commit"] {
  const commitSeq = Number(event.commitSeq)
  if (!event.changes) return { seq, commitSeq }
  const { changes: batch, columns, truncated, anyRead } = event
  let changes: StateChange[] | undefined
  let keys: ChangedKey[] | undefined
  const commit = {
    seq,
    commitSeq,
    get changes() {
      return (changes ??= (decodeRowsNow(batchOf(batch), columns, "object", CELLS) as RowObject[]).map(changeOf))
    },
    truncated,
    anyRead,
  }
  KEYS.set(commit, () => (keys ??= decodeRowsNow(...only(KEY_COLUMNS, batchOf(batch), columns), "object", CELLS) as unknown as ChangedKey[]))
  return commit
}

/** Which rows a commit wrote, without their content. */
export type ChangedKey = Pick<StateChange, "schema_key" | "version_id" | "file_id" | "entity_id">

/** The keys of `commit.changes`, for who needs no more: nothing is parsed for them. */
export function changedKeys(commit: EngineEvents["commit"]): readonly ChangedKey[] | undefined {
  return KEYS.get(commit)?.() ?? commit.changes
}

function only(names: readonly string[], { rowCount, columns: data }: BatchData, columns: readonly ResultColumn[]): [BatchData, ResultColumn[]] {
  const batch = new BatchData()
  batch.rowCount = rowCount
  batch.columns.push(...data.filter((_, index) => names.includes(columns[index]?.name ?? "")))
  return [batch, columns.filter(({ name }) => names.includes(name))]
}

function batchOf({ rowCount, columns }: RowBatch): BatchData {
  const batch = new BatchData()
  batch.rowCount = rowCount
  batch.columns.push(...(columns as unknown as BatchData["columns"]))
  return batch
}

function changeOf(row: RowObject): StateChange {
  const { snapshot_content: snapshot } = row
  if (typeof snapshot === "string") return { ...row, snapshot_content: JSON.parse(snapshot) } as unknown as StateChange
  return row as unknown as StateChange
}

const CELLS: CellOptions = { integers: "number", invalidText: "replace", blobs: "copy" }
const KEY_COLUMNS: readonly string[] = ["schema_key", "version_id", "file_id", "entity_id"]
const KEYS = new WeakMap<object, () => ChangedKey[]>()
