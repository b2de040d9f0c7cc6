/**
 * The rows of a commit event. They become objects when somebody looks, and only then.
 */

import { BatchData, type CellOptions } from "./columns.js"
import type { CommitEvent, RowBatch } from "./gen/engine_pb.js"
import { decodeRowsNow } from "./rows.js"
import type { EngineEvents, RowObject, StateChange } from "./types.js"

export function commitOf(seq: number, event: CommitEvent): EngineEvents["commit"] {
  const commitSeq = Number(event.commitSeq)
  if (!event.changes) return { seq, commitSeq }
  const { changes: batch, columns, truncated, anyRead } = event
  let changes: StateChange[] | undefined
  return {
    seq,
    commitSeq,
    get changes() {
      return (changes ??= (decodeRowsNow(batchOf(batch), columns, "object", CELLS) as RowObject[]).map(changeOf))
    },
    truncated,
    anyRead,
  }
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
