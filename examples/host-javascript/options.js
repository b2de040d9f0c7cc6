// What `open` is told, what init answers and what events say, in the words of JavaScript.
import { enumName, enumNumber } from "./contract.js"
import { fromEngine, optionInvalid } from "./errors.js"
import { asBytes, decodeBatch } from "./values.js"

/**
 * The InitRequest.
 *
 * @param {import("./lix.js").OpenOptions} options
 * @param {Uint8Array[]} attachments  image and plugins are added to it
 */
export function initRequest(options, attachments) {
  const { path, events = [], lix, plugins = {}, storage = "file", waitMs } = options
  const kinds = Array.isArray(events) ? events : Object.keys(events)
  const keyValues = Object.entries(typeof lix === "object" ? lix : {})
  return {
    hostName: "lix-host-javascript-example",
    hostVersion: "1.0.0",
    required: options.required?.map((name) => choice("Capability", "required", name)),
    events: {
      kinds: kinds.map((kind) => choice("EventKind", "events", kind)),
      commitDetail: choice("CommitDetail", "commitDetail", options.commitDetail),
    },
    storage: path === undefined ? undefined : { kind: choice("StorageKind", "storage", storage), path, waitMs },
    openMode: choice("OpenMode", "mode", options.mode),
    durability: choice("Durability", "durability", options.durability),
    autosave: options.autosave,
    seed: options.image && { case: "imageAttachment", value: attach(options.image, "image", attachments) },
    lix: lix ? { keyValues: keyValues.map(([key, value]) => ({ key, valueJson: JSON.stringify(value) })) } : undefined,
    plugins: Object.entries(plugins).map(([key, source]) => {
      const code = attach(new TextEncoder().encode(source), "plugins", attachments)
      return { key, format: choice("PluginFormat", "plugins", "esm"), code: { case: "codeAttachment", value: code } }
    }),
  }
}

/**
 * What an InitResponse says.
 *
 * @param {any} response
 */
export function describeEngine(response) {
  const { engineName, engineVersion, sqliteVersion, schemaVersion, storage, restored } = response
  const limits = Object.entries(response.limits ?? {}).filter(([name]) => !name.startsWith("$"))
  return {
    name: /** @type {string} */ (engineName),
    version: /** @type {string} */ (engineVersion),
    sqliteVersion: /** @type {string} */ (sqliteVersion),
    /** Of a lix; empty for a plain database. */
    schemaVersion: /** @type {string} */ (schemaVersion),
    /** Names such as "CURSORS". Those that are newer than this library are left out. */
    capabilities: new Set(response.capabilities.flatMap((/** @type {number} */ number) => enumName("Capability", number) ?? [])),
    storage: enumName("StorageKind", storage)?.toLowerCase(),
    /** The storage held a database, which was opened. */
    restored: /** @type {boolean} */ (restored),
    limits: /** @type {Record<string, number>} */ (Object.fromEntries(limits.map(([name, value]) => [name, Number(value)]))),
  }
}

/**
 * The `detail` of an event.
 *
 * @param {string} kind
 * @param {any} value
 * @param {import("./values.js").Integers} [integers]
 */
export function eventDetail(kind, value, integers = "auto") {
  switch (kind) {
    case "commit":
      return {
        commitSeq: Number(value.commitSeq),
        changes: value.changes && toRows(value.columns, value.changes, integers),
        truncated: value.truncated,
        anyRead: value.anyRead,
      }
    case "autosave":
      return {
        phase: enumName("AutosavePhase", value.phase)?.toLowerCase(),
        commitSeq: Number(value.commitSeq),
        bytes: Number(value.bytes),
        error: value.error && fromEngine(value.error),
      }
    case "plugin":
      return { pluginKey: value.pluginKey, error: value.error && fromEngine(value.error) }
    case "log":
      return { level: enumName("LogLevel", value.level)?.toLowerCase() ?? "info", text: value.text }
    default:
      return { error: value.reason === "CLOSED" ? undefined : value }
  }
}

/**
 * A row as an object without a prototype, so that any name is a name.
 *
 * @param {string[]} columns
 * @param {import("./values.js").Cell[]} cells
 * @returns {import("./lix.js").Row}
 */
export function toRow(columns, cells) {
  const row = Object.create(null)
  for (let index = 0; index < columns.length; index++) row[columns[index]] = cells[index]
  return row
}

/**
 * @param {import("./contract.js").Column[]} columns
 * @param {import("./contract.js").RowBatch} batch
 * @param {import("./values.js").Integers} integers
 */
function toRows(columns, batch, integers) {
  if (columns.length === 0) return []
  const names = columns.map(({ name }) => name)
  const cells = decodeBatch(batch, columns.length, integers)
  return Array.from({ length: batch.rowCount }, (_, row) => toRow(names, cells.map((column) => column[row])))
}

/**
 * @param {string} type
 * @param {string} option
 * @param {string | undefined} name
 */
function choice(type, option, name) {
  if (name === undefined) return undefined
  const number = enumNumber(type, String(name))
  if (number === undefined) throw optionInvalid(option, `${option} cannot be ${JSON.stringify(name)}`)
  return number
}

/**
 * @param {unknown} value
 * @param {string} option
 * @param {Uint8Array[]} attachments
 */
function attach(value, option, attachments) {
  const bytes = asBytes(value)
  if (!bytes) throw optionInvalid(option, `${option} has to be bytes`)
  return attachments.push(new Uint8Array(bytes)) - 1
}
