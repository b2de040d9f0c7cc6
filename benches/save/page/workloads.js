/**
 * What is measured, the same for all. `run.mjs` calls `bench(workload, who, options)` for one after the
 * other; each call is one repetition. What is in `check` must be equal for all.
 *
 * Each has one database open in a page, under a path of its own.
 */

import { createWorkerOpfsEngine } from "/lix/standalone.js"
import { emptyTable, INSERT, rowAt, series, tableSums } from "/shared/data.js"
import { exchangesAwaited, exchangesPipelined, knownBlock, startWatch } from "/shared/watch.js"
import { openPeer } from "./peers.js"

/** How soon an autosave comes where one is waited for. */
const SOON_MS = 50

/** All that differs between them. */
const implementations = {
  relaxed: ours({ durability: "relaxed" }),
  strict: ours({ durability: "strict" }),
  hasty: ours({ durability: "relaxed", autosave: { debounceMs: SOON_MS, maxDelayMs: SOON_MS } }),
  straight: peer("straight"),
  sahpool: peer("sahpool"),
  wal: peer("wal"),
}

function ours(options) {
  return {
    async open(path) {
      const engine = createWorkerOpfsEngine({ path, ...options })
      await engine.init()
      return engine
    },
    rows: (answer) => answer.rows,
    saveAfter: options.durability === "relaxed",
    /** Resolves when the autosave has stored what is committed now. */
    saveSoon(engine) {
      const { commitSeq } = engine.status()
      return new Promise((resolve) => {
        const stop = engine.on("autosave", (event) => {
          if (event.phase !== "saved" || event.commitSeq < commitSeq) return
          stop()
          resolve()
        })
      })
    },
  }
}

function peer(kind) {
  return {
    open: (path) => openPeer(kind, path),
    rows: (answer) => answer,
    saveAfter: kind === "straight",
    async saveSoon(engine) {
      await sleep(SOON_MS)
      await engine.save()
    },
  }
}

const workloads = {
  /** Opens a database, which is empty if it is new. */
  async open({ who, open }, { path }) {
    engines[who] = await open(`${who}-${path}`)
  },

  /** Puts it away; its file stays. */
  async close({ who, engine }) {
    await engine.close()
    delete engines[who]
  },

  /** Fills a new database to about so many bytes and stores it. With `probe`, watches that save. */
  async fill(on, { bytes, probe }) {
    const { engine } = on
    await engine.exec("create table big (id integer primary key, body text not null)")
    const count = Math.round(bytes / BYTES_PER_BIG_ROW)
    // Not all at once, so that no journal grows as large as the database.
    for (let from = 1; from <= count; from += BIG_ROWS_AT_ONCE) {
      const to = Math.min(count, from + BIG_ROWS_AT_ONCE - 1)
      await engine.exec(`insert into big ${series(from, to)} select i, hex(zeroblob(4000)) || i from series`)
    }
    await emptyTable(on)
    const watch = startWatch(probe)
    await engine.save()
    return { ...(await watch.stop()), check: await bigSums(on) }
  },

  /** One row in one commit, and the clock stops when it is stored. So many times. */
  async saveRow({ engine, saveAfter }, { times, probe }) {
    const start = startWatch(probe)
    const samples = []
    for (let i = 0; i < times; i++) {
      const [, ...values] = rowAt(i)
      const watch = startWatch()
      const inserted = engine.exec(INSERT, [null, ...values])
      if (saveAfter) await engine.save()
      await inserted
      samples.push(watch.stop().ms)
    }
    return { samples, ...(await start.stop()) }
  },

  /** Inserts, each a transaction, each awaited; the clock stops when all are stored. */
  async insertsAwaited(on, { count }) {
    const { engine, saveAfter } = on
    await emptyTable(on)
    await engine.save()
    const watch = startWatch()
    for (let i = 0; i < count; i++) await engine.exec(INSERT, rowAt(i))
    if (saveAfter) await engine.save()
    return { ...watch.stop(), check: await tableSums(on) }
  },

  /** The same, sent without waiting. */
  async insertsPipelined(on, { count }) {
    const { engine, saveAfter } = on
    await emptyTable(on)
    await engine.save()
    const watch = startWatch()
    const answers = []
    for (let i = 0; i < count; i++) answers.push(engine.exec(INSERT, rowAt(i)))
    await Promise.all(answers)
    if (saveAfter) await engine.save()
    return { ...watch.stop(), check: await tableSums(on) }
  },

  /** From nothing to the first answer: worker, code, stored database, query. */
  async firstAnswer(on, { path, id }) {
    const { who, open, rows } = on
    const watch = startWatch()
    const engine = await open(`${who}-${path}`)
    const answer = rows(await engine.exec("select id, length(body) as length from big where id = ?", [id]))
    const result = watch.stop()
    const check = [answer, await bigSums({ ...on, engine })]
    await engine.close()
    return { ...result, check }
  },

  /**
   * One-row edits, each awaited, while one save follows the other with a short pause. The time of the
   * slowest edit.
   */
  async editsWhileSaving({ engine }, { ms, pauseMs }) {
    const end = performance.now() + ms
    const edit = startEdits(engine)
    await edit()
    let saves = 0
    const saving = (async () => {
      while (performance.now() < end) {
        await engine.save()
        saves++
        await sleep(pauseMs)
      }
    })()
    const calls = []
    while (performance.now() < end) calls.push(await edit())
    await saving
    return { worst: Math.max(...calls), calls: calls.length, saves }
  },

  /** The same until a save is done in which every page has changed; it starts by itself. */
  async editsWhileSavingAll({ engine, saveSoon }) {
    const edit = startEdits(engine)
    await engine.exec("update big set body = substr(body, 2) || 'x'")
    let saved = false
    const saving = saveSoon(engine).then(() => (saved = true))
    const calls = []
    while (!saved) calls.push(await edit())
    await saving
    return { worst: Math.max(...calls), calls: calls.length }
  },

  exchangesAwaited,
  exchangesPipelined,
  knownBlock,
}

globalThis.bench = async (workload, who, options = {}) => {
  const on = { who, ...implementations[who], engine: engines[who] }
  return workloads[workload](on, options)
}

const engines = {}

/** Each call edits one row, commits, and answers how long that took. */
function startEdits(engine) {
  let i = 0
  return async () => {
    const watch = startWatch()
    await engine.exec("insert or replace into item (id, price, name, hash, flag) values (?, ?, 'edited', x'', 0)", [++i % 100, i / 7])
    return watch.stop().ms
  }
}

async function bigSums({ engine, rows }) {
  return rows(await engine.exec("select count(*) as n, sum(id) as ids, sum(length(body)) as bytes from big"))
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

const BYTES_PER_BIG_ROW = 8_192
const BIG_ROWS_AT_ONCE = 2_000
