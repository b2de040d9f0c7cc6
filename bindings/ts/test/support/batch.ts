/**
 * A second, plain encoder of row batches: cell by cell, straight from the protocol's table. Tests
 * encode with it and decode with the package.
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { ColumnDataSchema, RowBatchSchema, StorageClass, type RowBatch } from "../../src/gen/engine_pb.js"

/** A cell as SQLite has it; `raw` is TEXT that is not valid UTF-8. */
export type Cell = null | bigint | number | string | Uint8Array | { raw: Uint8Array }

export interface EncodeOptions {
  /** Pretend the data needs at least this width. */
  intWidth?: 1 | 2 | 4 | 8
  lenWidth?: 1 | 2 | 4
  /** Write classes even where all are the same. */
  neverUniform?: boolean
}

/** Rows of `width` cells; bigints are INTEGER, numbers are REAL. */
export function encodeBatch(rows: readonly (readonly Cell[])[], width: number, options: EncodeOptions = {}): RowBatch {
  const columns = Array.from({ length: width }, (_, index) => encodeColumn(rows.map((row) => row[index]!), options))
  return create(RowBatchSchema, { rowCount: rows.length, columns })
}

function encodeColumn(cells: readonly Cell[], options: EncodeOptions): MessageInitShape<typeof ColumnDataSchema> {
  if (cells.length === 0) return {}
  const classes = cells.map(classOf)
  const uniform = !options.neverUniform && classes.every((each) => each === classes[0])
  const ints = cells.filter((cell) => typeof cell === "bigint")
  const reals = cells.filter((cell) => typeof cell === "number")
  const long = cells.flatMap((cell) => (typeof cell === "string" ? [utf8(cell)] : cell instanceof Uint8Array ? [cell] : isRaw(cell) ? [cell.raw] : []))
  const intWidth = Math.max(options.intWidth ?? 1, ...ints.map(widthOf))
  const lenWidth = Math.max(options.lenWidth ?? 1, ...long.map(({ length }) => (length < 256 ? 1 : length < 65536 ? 2 : 4)))
  return {
    uniform: uniform ? classes[0]! : StorageClass.UNSPECIFIED,
    classes: uniform ? new Uint8Array() : Uint8Array.from(classes),
    intWidth: ints.length > 0 ? intWidth : 0,
    ints: concat(ints.map((int) => littleEndian(int, intWidth))),
    reals: concat(reals.map((real) => new Uint8Array(new Float64Array([real]).buffer))),
    text: concat(cells.map((cell) => (typeof cell === "string" ? utf8(cell) : NOTHING))),
    blobs: concat(cells.map((cell) => (cell instanceof Uint8Array ? cell : isRaw(cell) ? cell.raw : NOTHING))),
    lenWidth: long.length > 0 ? lenWidth : 0,
    lens: concat(long.map(({ length }) => littleEndian(BigInt(length), lenWidth))),
  }
}

function classOf(cell: Cell): StorageClass {
  if (cell === null) return StorageClass.NULL
  if (typeof cell === "bigint") return StorageClass.INTEGER
  if (typeof cell === "number") return StorageClass.REAL
  if (typeof cell === "string") return StorageClass.TEXT
  return cell instanceof Uint8Array ? StorageClass.BLOB : StorageClass.TEXT_RAW
}

function isRaw(cell: Cell): cell is { raw: Uint8Array } {
  return typeof cell === "object" && cell !== null && "raw" in cell
}

function widthOf(value: bigint): number {
  return [1, 2, 4].find((width) => BigInt.asIntN(8 * width, value) === value) ?? 8
}

function littleEndian(value: bigint, width: number): Uint8Array {
  return Uint8Array.from({ length: width }, (_, index) => Number((BigInt.asUintN(64, value) >> BigInt(8 * index)) & 0xffn))
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

const NOTHING = new Uint8Array()
