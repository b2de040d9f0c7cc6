/**
 * What is measured, the same for both. `run.mjs` calls `bench(workload, who, options)` for the one and
 * the other in turn; each call is one repetition and answers `{ ms, check }` (or `block` for `ms`).
 * What is in `check` must be equal for both.
 */

import { createWorkerEngine } from "/lix/standalone.js"
import { COLUMNS, emptyTable, INSERT, NAMES, rowAt, series, tableSums } from "/shared/data.js"
import { exchangesAwaited, exchangesPipelined, knownBlock, startWatch } from "/shared/watch.js"
import { openBaseline } from "./baseline.js"

/** All that differs between the two. */
const implementations = {
  ours: {
    open: createWorkerEngine,
    init: (engine, image) => engine.init(image && { blob: image.buffer }),
    rows: (answer) => answer.rows,
    // An image that is none is refused, by a worker that is loaded then.
    load: (engine) => engine.init({ blob: new ArrayBuffer(1) }).catch(() => {}),
    async sums(engine) {
      const { batch } = await engine.exec(SELECT_ALL, undefined, { rowMode: "columns" })
      const sums = { count: batch.rowCount, id: 0, price: 0, notes: 0, flags: 0 }
      for (const id of batch.column("id").ints) sums.id += id
      for (const price of batch.column("price").reals) sums.price += price
      for (const flag of batch.column("flag").ints) sums.flags += flag
      const note = batch.column("note")
      for (let row = 0; row < batch.rowCount; row++) if (!note.isNull(row)) sums.notes++
      return sums
    },
  },
  baseline: {
    open: openBaseline,
    init: (engine, image) => engine.init(image),
    rows: (answer) => answer,
    load: (engine) => engine.load(),
    async sums(engine) {
      const rows = await engine.exec(SELECT_ALL)
      const sums = { count: rows.length, id: 0, price: 0, notes: 0, flags: 0 }
      for (const row of rows) {
        sums.id += row.id
        sums.price += row.price
        sums.flags += row.flag
        if (row.note !== null) sums.notes++
      }
      return sums
    },
  },
}

const workloads = {
  /** From nothing to the first answer: worker, code, database, query. */
  async open({ open, init, rows }) {
    const watch = startWatch()
    const engine = open()
    init(engine)
    const answer = await engine.exec("select 41 + 1 as answer")
    return { ...(await watch.stop()), check: rows(answer) }
  },

  /** Makes the table that the queries read. */
  async fill({ engine }, { count }) {
    await engine.exec(`create table wide ${COLUMNS}`)
    await engine.exec(fillTable(count))
    return { check: count }
  },

  /** One row by its key, so many times, each awaited. The clock of a page is too coarse for one. */
  async oneRow({ engine, rows }, { count }) {
    const found = []
    const watch = startWatch()
    for (let i = 1; i <= count; i++) found.push(rows(await engine.exec(SELECT_ONE, [i]))[0])
    return { ...(await watch.stop()), check: digest(found) }
  },

  /** Inserts in one transaction, each awaited. */
  async insertsAwaited(on, { count }) {
    const { engine } = on
    await emptyTable(on)
    const watch = startWatch()
    await engine.exec("begin")
    for (let i = 0; i < count; i++) await engine.exec(INSERT, rowAt(i))
    await engine.exec("commit")
    return { ...(await watch.stop()), check: await tableSums(on) }
  },

  /** The same, sent without waiting. */
  async insertsPipelined(on, { count }) {
    const { engine } = on
    await emptyTable(on)
    const watch = startWatch()
    const answers = [engine.exec("begin")]
    for (let i = 0; i < count; i++) answers.push(engine.exec(INSERT, rowAt(i)))
    answers.push(engine.exec("commit"))
    await Promise.all(answers)
    return { ...(await watch.stop()), check: await tableSums(on) }
  },

  /** The same as one message. */
  async insertsInOneBatch(on, { count }) {
    const { engine } = on
    await emptyTable(on)
    const watch = startWatch()
    await engine.exec("begin")
    await engine.execBatch(Array.from({ length: count }, (_, i) => ({ sql: INSERT, params: rowAt(i) })))
    await engine.exec("commit")
    return { ...(await watch.stop()), check: await tableSums(on) }
  },

  /** Inserts in messages of `size`, each a transaction. */
  async insertsInBatches(on, { count, size }) {
    const { engine } = on
    await emptyTable(on)
    const watch = startWatch()
    for (let from = 0; from < count; from += size) {
      const inserts = Array.from({ length: size }, (_, i) => ({ sql: INSERT, params: rowAt(from + i) }))
      await engine.execBatch([{ sql: "begin" }, ...inserts, { sql: "commit" }])
    }
    return { ...(await watch.stop()), check: await tableSums(on) }
  },

  /** The whole table as objects. With `keep` nothing of it is given back. */
  async rows({ engine, rows }, { probe, every, keep }) {
    const watch = startWatch(probe)
    const answer = await engine.exec(SELECT_ALL)
    const result = await watch.stop()
    if (keep) globalThis.kept = answer
    return { ...result, check: every ? digest(rows(answer)) : rows(answer).length }
  },

  /** Sums and counts over four columns of it. */
  async columns({ engine, sums }) {
    const watch = startWatch()
    const check = await sums(engine)
    return { ...(await watch.stop()), check }
  },

  /** The whole table as objects, batch by batch. */
  async streamed({ engine }, { probe }) {
    const rows = []
    const watch = startWatch(probe)
    for await (const batch of engine.stream(SELECT_ALL).batches()) rows.push(batch)
    return { ...(await watch.stop()), check: digest(rows.flat()) }
  },

  /** The image of a database of about so many bytes, on the page. */
  async export({ engine }, { bytes, keep }) {
    await engine.exec("create table if not exists big (id integer primary key, body blob)")
    await engine.exec(fillBig(bytes))
    const watch = startWatch()
    const image = new Uint8Array(await engine.export())
    const result = await watch.stop()
    if (keep) globalThis.image = image.slice()
    const reader = openBaseline()
    await reader.init(image)
    const check = await reader.exec(BIG_SUMS)
    reader.terminate()
    return { ...result, check }
  },

  /** From an image on the page to the first answer over it, in a new worker that is loaded. */
  async import({ open, init, load, rows }) {
    const image = globalThis.image.slice()
    const engine = open()
    await load(engine)
    const watch = startWatch()
    init(engine, image)
    const answer = await engine.exec(BIG_SUMS)
    const result = await watch.stop()
    engine.terminate()
    return { ...result, check: rows(answer) }
  },

  exchangesAwaited,
  exchangesPipelined,
  knownBlock,
}

globalThis.bench = async (workload, who, options = {}) => {
  const implementation = implementations[who]
  const engine = WITHOUT_ENGINE.includes(workload) ? undefined : await (engines[who] ??= opened(implementation))
  return workloads[workload]({ ...implementation, engine }, options)
}

const WITHOUT_ENGINE = ["open", "import", "exchangesAwaited", "exchangesPipelined", "knownBlock"]
const engines = {}

async function opened({ open, init }) {
  const engine = open()
  await init(engine)
  return engine
}

// ---- data -------------------------------------------------------------------

const SELECT_ONE = `select ${NAMES} from wide where id = ?`
const SELECT_ALL = `select ${NAMES} from wide`
const BIG_SUMS = "select count(*) as count, sum(length(body)) as bytes from big"

/** The same kinds of values, made by SQLite, and the same in both. */
function fillTable(count) {
  return `insert into wide ${series(1, count)} select i, i / 7.0, 'item ' || i, iif(i % 3, 'a note about ' || i, null), unhex(printf('%032x', i * 2654435761)), i % 2 from series`
}

/** Once. */
function fillBig(bytes) {
  return `insert into big ${series(1, Math.round(bytes / 8_200))} select i, zeroblob(8000) || hex(i) from series where not exists (select 1 from big)`
}

/** Over every cell, its name and its type (FNV-1a). */
function digest(rows) {
  let hash = 0x811c9dc5
  const mix = (text) => {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  for (const row of rows) {
    for (const name in row) {
      const value = row[name]
      mix(`${name}:${typeof value}:${value instanceof Uint8Array ? value.join() : String(value)};`)
    }
  }
  return `${rows.length} rows, ${hash >>> 0}`
}
