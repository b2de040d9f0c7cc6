// The heavy write: 200,000 rows into a table with two indexes, in a fresh database.
//
// The page makes the rows, so encoding them is part of what is measured. What it
// makes is the same every time, and what the database holds is compared with it.
import type { LixEngine } from "lix-engine"
import { yieldToPage } from "../shared/probe.ts"

export interface Workload {
  readonly id: string
  readonly label: string
  /** Rejects if the engine fails or if the table does not hold what was written. */
  run(engine: LixEngine, onProgress: (rows: number) => void): Promise<void>
}

export const WORKLOADS: readonly Workload[] = [
  {
    id: "bulk",
    label: "4 inserts of 50,000 rows",
    run: (engine, onProgress) =>
      write(engine, 50_000, onProgress, async (rows) => {
        await engine.exec(INSERT_FROM_JSON, [await toJson(rows)])
      }),
  },
  {
    id: "bound",
    label: "200 batches of 1,000 inserts",
    run: (engine, onProgress) =>
      write(engine, 1_000, onProgress, async (rows) => {
        const inserts = rows.map((params) => ({ sql: INSERT_ROW, params: [...params] }))
        await engine.execBatch([{ sql: "BEGIN" }, ...inserts, { sql: "COMMIT" }])
      }),
  },
]

export const TOTAL_ROWS = 200_000

type Reading = readonly [id: number, sensor: number, at: number, celsius: number, note: string]

async function write(
  engine: LixEngine,
  batchRows: number,
  onProgress: (rows: number) => void,
  send: (rows: Reading[]) => Promise<void>,
): Promise<void> {
  for (const sql of SCHEMA) await engine.exec(sql)
  const random = seededRandom(1)
  let sum = 0
  for (let first = 0; first < TOTAL_ROWS; first += batchRows) {
    const rows: Reading[] = []
    for (let id = first; id < first + batchRows; id++) {
      const celsius = Math.round((random() * 60 - 20) * 4) / 4
      sum += celsius
      rows.push([id, Math.floor(random() * 5_000), 1_750_000_000 + id, celsius, NOTES[id % NOTES.length]!])
      if (id % SLICE_ROWS === SLICE_ROWS - 1) await yieldToPage()
    }
    await send(rows)
    onProgress(first + batchRows)
  }
  const { rows } = await engine.exec("SELECT count(*) AS n, sum(celsius) AS sum FROM reading")
  const found = rows[0] as { n: number; sum: number }
  // Quarters add up exactly in binary, so no tolerance is needed.
  if (found.n !== TOTAL_ROWS || found.sum !== sum) {
    throw new Error(`wrote ${TOTAL_ROWS} rows with sum ${sum}, found ${found.n} with ${found.sum}`)
  }
}

/** JSON text, made in slices so that the page is not held up by the making. */
async function toJson(rows: readonly Reading[]): Promise<string> {
  const parts: string[] = []
  for (let first = 0; first < rows.length; first += SLICE_ROWS) {
    parts.push(JSON.stringify(rows.slice(first, first + SLICE_ROWS)).slice(1, -1))
    await yieldToPage()
  }
  return `[${parts.join(",")}]`
}

/** Mulberry32: small, and the same everywhere. */
function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const SCHEMA = [
  "CREATE TABLE reading (id INTEGER PRIMARY KEY, sensor INTEGER NOT NULL, at INTEGER NOT NULL, celsius REAL NOT NULL, note TEXT NOT NULL)",
  "CREATE INDEX reading_by_sensor ON reading (sensor, at)",
  "CREATE INDEX reading_by_celsius ON reading (celsius)",
]
const INSERT_ROW = "INSERT INTO reading VALUES (?, ?, ?, ?, ?)"
const INSERT_FROM_JSON =
  "INSERT INTO reading SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?)"
const NOTES = ["calm", "north wind", "rain before noon", "clear sky", "fog, lifting"]
const SLICE_ROWS = 2_500
