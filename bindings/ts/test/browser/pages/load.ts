/**
 * A database under load, written so that whatever is found later can be judged: transaction `n`
 * leaves `n % 5 + 1` rows and the counter at `n`. Whoever opens it finds some transaction's end, and
 * none that was known to be stored before is missing.
 */

import type { LixEngine } from "../../../src/index.js"
import { ok, same } from "./support.js"

export const BUSY_SAVING = { busyWaitMs: 5_000, autosave: { debounceMs: 5, maxDelayMs: 20 } }

/** Writes until it is stopped or the engine ends; `known` hears of each transaction that is stored. */
export async function write(engine: LixEngine, known: (n: number) => void, isStopped: () => boolean = () => false): Promise<void> {
  let n = await found(engine)
  // Which transaction a commit was.
  const commits = new Map<number, number>()
  const settle = () => {
    const { savedSeq } = engine.state
    for (const [commit, number] of commits) {
      if (commit > savedSeq) break
      commits.delete(commit)
      known(number)
    }
  }
  const stop = engine.on("autosave", settle)
  try {
    while (!isStopped()) {
      n++
      const rows = Array.from({ length: (n % 5) + 1 }, (_, row) => ({ sql: "insert into entry values (?, ?, ?)", params: [n, row, new Uint8Array(300 * ((n + row) % 7)).fill(n)] }))
      const { results } = await engine.execBatch([{ sql: "begin" }, ...rows, { sql: "update counter set n = ?", params: [n] }, { sql: "commit" }])
      commits.set(results.at(-1)!.state!.commitSeq, n)
      settle()
    }
  } finally {
    stop()
  }
}

/** Makes the tables if there are none. */
export async function prepare(engine: LixEngine): Promise<void> {
  await engine.execBatch([
    { sql: "begin" },
    { sql: "create table if not exists entry (n integer, row integer, payload blob, primary key (n, row))" },
    { sql: "create table if not exists counter (id integer primary key, n integer not null)" },
    { sql: "insert or ignore into counter values (1, 0)" },
    { sql: "commit" },
  ])
}

/** What was found is the end of some transaction, not before `atLeast`. Returns which. */
export async function judge(engine: LixEngine, atLeast: number): Promise<number> {
  same((await engine.exec("pragma integrity_check", [], { rowMode: "array" })).rows, [["ok"]])
  const n = await found(engine)
  ok(n >= atLeast, `transaction ${atLeast} was stored, and the newest found is ${n}`)
  const sql = `select count(*) as transactions, coalesce(max(n), 0) as newest, coalesce(sum(rows != n % 5 + 1), 0) as torn from (select n, count(*) as rows from entry group by n)`
  same((await engine.exec(sql)).rows, [{ transactions: n, newest: n, torn: 0 }])
  const damaged = "select count(*) as damaged from entry where length(payload) != 300 * ((n + row) % 7) or (payload != x'' and substr(payload, -1) != unhex(printf('%02x', n & 255)))"
  same((await engine.exec(damaged)).rows, [{ damaged: 0 }])
  return n
}

async function found(engine: LixEngine): Promise<number> {
  const { rows } = await engine.exec<{ n: number }>("select n from counter")
  return rows[0]?.n ?? 0
}
