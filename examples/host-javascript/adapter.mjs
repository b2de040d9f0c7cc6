// This host under test: commands on stdin, reports on stdout, one JSON object a line (conformance/host-adapters.md).
//
//     conformance run --impl examples/host-javascript/impl.json
import { createInterface } from "node:readline"
import { LixError, open } from "./lix.js"

const FEATURES = [
  "batch", "bigint", "bool", "cancel", "events", "export", "integers", "named", "ordered", "queue", "stream", "timeout",
]

/** @type {import("./lix.js").Database | undefined} */
let db
/** @type {Map<number, AbortController>} calls that wait */
const calls = new Map()

/** @type {Record<string, (options: any, id: number) => Promise<object>>} */
const commands = {
  async hello() {
    return { hello: { name: "host-javascript", version: "1.0.0", language: "JavaScript", features: FEATURES } }
  },

  async open({ command, tcp, ws, events = [], integers }) {
    const target = { stdio: command, tcp: tcp && `tcp://${tcp}`, ws }[process.env.LIX_TRANSPORT ?? "stdio"] ?? command ?? ws
    // Listeners are there before the first event can be.
    const tell = (/** @type {CustomEvent} */ { type, detail }) => report({ event: event(type, detail) })
    db = await open(target, { events: Object.fromEntries(events.map((/** @type {string} */ kind) => [kind, tell])), integers })
    const { version, sqliteVersion } = db.engine
    return { opened: { engine_version: version, sqlite_version: sqliteVersion } }
  },

  async exec({ sql, params, named, integers, timeout_ms: timeoutMs }, id) {
    const statement = database().prepare(sql, { ...present({ integers, timeoutMs }), signal: signal(id) })
    return { result: resultOf(await statement.execute(...natives(params, named))) }
  },

  async batch({ statements, on_error: onError }, id) {
    const list = statements.map((/** @type {any} */ { sql, params, named }) => [sql, ...natives(params, named)])
    const results = await database().batch(list, { ...present({ onError }), signal: signal(id) })
    return { results: results.map((each) => (each instanceof LixError ? { error: errorOf(each) } : resultOf(each))) }
  },

  async stream({ sql, params, named, batch_rows: batchRows, take, integers }, id) {
    /** @type {object[]} */
    const rows = []
    try {
      if (take === 0) return { rows }
      const statement = database().prepare(sql, { ...present({ batchRows, integers }), signal: signal(id) })
      loop: for await (const batch of statement.batches(...natives(params, named))) {
        for (const row of batch.rows) {
          rows.push(row.map(valueOf))
          if (rows.length === take) break loop
        }
      }
      return { rows }
    } catch (error) {
      if (!(error instanceof LixError)) throw error
      return { rows, error: errorOf(error) }
    }
  },

  async export() {
    return { image: Buffer.from(await database().export()).toString("base64") }
  },

  async cancel({ target }) {
    calls.get(target)?.abort()
    return { done: {} }
  },

  async close() {
    await database().close()
    return { done: {} }
  },

  async drop() {
    // An engine that stays gets killed after a while; nobody waits for that.
    db?.destroy()
    db = undefined
    return { done: {} }
  },
}

function database() {
  if (!db) throw new LixError("LIFECYCLE", "NOT_INITIALIZED", "nothing is open")
  return db
}

/** @param {number} id */
function signal(id) {
  const controller = new AbortController()
  calls.set(id, controller)
  return controller.signal
}

/** @param {object} options @returns {any} without members that are undefined */
function present(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

/** @param {any[]} [params] @param {Record<string, any>} [named] */
function natives(params = [], named) {
  const positional = params.map(native)
  return named ? [Object.fromEntries(Object.entries(named).map(([name, value]) => [name, native(value)])), ...positional] : positional
}

/** What JavaScript has for a tagged value. @param {any} value */
function native(value) {
  if (value === null) return null
  const [[tag, content]] = Object.entries(value)
  switch (tag) {
    case "int":
      return Number.isSafeInteger(Number(content)) ? Number(content) : BigInt(content)
    case "real":
      return content === "inf" ? Infinity : content === "-inf" ? -Infinity : Number(content)
    case "bigint":
      return BigInt(content)
    case "blob":
      return new Uint8Array(Buffer.from(content, "base64"))
    case "text":
    case "bool":
      return content
    default:
      return Symbol("unsupported")
  }
}

/** A value, named by its own type. @param {import("./lix.js").Cell | undefined} value */
function valueOf(value) {
  if (value === null) return null
  switch (typeof value) {
    case "bigint":
      return { int: String(value) }
    case "number":
      return { number: Object.is(value, -0) ? "-0.0" : value === Infinity ? "inf" : value === -Infinity ? "-inf" : String(value) }
    case "string":
      return { text: value }
    default:
      return { blob: Buffer.from(/** @type {Uint8Array} */ (value)).toString("base64") }
  }
}

/** @param {import("./lix.js").Result} result */
function resultOf({ columns, rows, changes, lastInsertRowid }) {
  return {
    columns, rows: rows.map((row) => row.map(valueOf)),
    ...(changes !== undefined && { changes: valueOf(changes) }),
    ...(lastInsertRowid !== undefined && { last_insert_rowid: valueOf(lastInsertRowid) }),
  }
}

/** @param {LixError} error */
function errorOf({ code, reason, message, subject, retryable, sqliteExtendedCode, sqlOffset, batchIndex }) {
  return { code, reason, message, subject, retryable, sqlite_extended_code: sqliteExtendedCode, sql_offset: sqlOffset, batch_index: batchIndex }
}

/** @param {string} kind @param {any} detail */
function event(kind, detail) {
  return kind === "commit" ? { kind, commit_seq: String(detail.commitSeq) } : { kind }
}

/** @param {object} line */
function report(line) {
  process.stdout.write(JSON.stringify(line) + "\n")
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...command } = JSON.parse(line)
  const [[name, options]] = Object.entries(command)
  commands[name](options ?? {}, id).then(
    (outcome) => report({ id, ...outcome }),
    (error) => report({ id, ...(error instanceof LixError ? { error: errorOf(error) } : { defect: String(error?.stack ?? error) }) }),
  ).finally(() => calls.delete(id))
}
