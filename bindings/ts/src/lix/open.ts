/**
 * Opening a lix: an engine, initialised in one exchange, with an account and key values set in another.
 *
 * Guarantee: nothing that was asked for is ignored. What cannot be done is a typed error, and then an engine that was
 * started for it is closed.
 */

import { Kysely } from "kysely"
import { EngineError } from "../errors.js"
import { createMainMemoryEngine, createWorkerEngine } from "../index.js"
import { alone } from "../kysely/driver.js"
import { importText, type PluginFailure } from "../load-plugins.js"
import { OPENED } from "../opened.js"
import type { LixPlugin } from "../plugins/plugin.js"
import type { InitOptions, LixEngine, LixKeyValue } from "../types.js"
import type { JsonValue } from "./columns.js"
import { LixDatabaseDialect } from "./dialect.js"
import { createHooks, type LixHooks } from "./hooks.js"
import { Observer, type LixObservable, type ObservableQuery, type ObserveOptions } from "./observe.js"
import type { LixDatabaseSchema } from "./tables.js"

/** Options of {@link openLix}. Unknown ones are an error. */
export interface OpenLixOptions {
  /**
   * Where the lix lives. One that is not initialised is initialised; one that is must be a lix, with the event `commit`
   * and its values: `init({ lix: true, events: ["commit"], commitDetail: "values" })`.
   *
   * Default: a lix in memory, in a worker where there are pages, in this thread elsewhere and for `providePlugins`.
   */
  engine?: LixEngine | undefined
  /**
   * Bytes to open. They win over what is stored, which is given up once they are saved. An `ArrayBuffer` is transferred
   * and gone for its owner; a `Blob` stays.
   */
  blob?: Blob | ArrayBuffer | Uint8Array | undefined
  /** Made in `global` unless an account has this id, and made the only active one. The name of one that exists stays. */
  account?: { readonly id: string; readonly name: string } | undefined
  /** Set whenever the lix is opened. Writing a value that is there already makes no commit. */
  keyValues?: readonly LixKeyValueOption[] | undefined
  /** Plugins as objects, for engines in this thread. A worker takes `expProvideStringifiedPlugins`. */
  providePlugins?: readonly LixPlugin[] | undefined
}

/** A key value to set. */
export interface LixKeyValueOption {
  readonly key: string
  readonly value: JsonValue
  /** Default: the active version; of a new lix `main`, and `global` for what is untracked. */
  readonly lixcol_version_id?: string | undefined
  /** Without changes, commits and history. */
  readonly lixcol_untracked?: boolean | undefined
}

/** An open lix. */
export interface Lix<Database = LixDatabaseSchema> {
  /** The tables, through Kysely. JSON columns are values on both sides. */
  readonly db: Kysely<Database>
  /** What the lix lives in. Raw `exec` calls join whatever transaction is open; `db` keeps its callers apart. */
  readonly engine: LixEngine
  /** The rows of a query, now and after every commit that changes them. */
  observe<Row>(query: ObservableQuery<Row>, options?: ObserveOptions): LixObservable<Row>
  readonly hooks: LixHooks
  readonly plugin: {
    /** The plugins that files go through, in order. Of those that were given as text the module is loaded here, too. */
    getAll(): Promise<readonly LixPlugin[]>
  }
  /** The lix as a file, once open transactions have ended. */
  toBlob(): Promise<Blob>
  /**
   * Finishes what was asked for before, saves, and ends the engine; subscriptions complete. A transaction that is still
   * open after two seconds is rolled back. Calls afterwards reject with `LIFECYCLE/CLOSED`. May be called again.
   */
  close(): Promise<void>
}

/**
 * Opens a lix.
 *
 * ```ts
 * const lix = await openLix({ engine: createWorkerOpfsEngine({ path: "notes.lix" }), account: { id: "ada", name: "Ada" } })
 * await lix.db.insertInto("key_value").values({ key: "theme", value: { dark: true } }).execute()
 * ```
 *
 * If it rejects, the engine is closed, unless it was initialised before.
 */
export async function openLix<Tables = unknown>(options: OpenLixOptions = {}): Promise<Lix<LixDatabaseSchema & Tables>> {
  const engine = engineOf(options)
  const isOurs = engine.status().phase === "new"
  try {
    const settings = settingsOf(options)
    if (isOurs) await engine.init(await initOptions(settings))
    else await takeOver(engine, settings)
    await setUp(engine, settings)
  } catch (error) {
    if (isOurs) await engine.close({ discardUnsaved: true }).catch(() => {})
    throw error
  }
  return lixOf(engine)
}

/** The engine of a lix that is kept nowhere. */
export function defaultEngine(): LixEngine {
  return typeof document === "object" && typeof Worker === "function" ? createWorkerEngine() : createMainMemoryEngine()
}

/** The options of `init` with which a lix is made. */
export function lixKeyValues(keyValues: readonly LixKeyValueOption[]): LixKeyValue[] {
  return keyValues.map(({ key, value, lixcol_version_id: versionId, lixcol_untracked: untracked }) => ({ key, value, versionId, untracked }))
}

/** The key values, if they are some. */
export function keyValuesOf(keyValues: readonly LixKeyValueOption[] | undefined): readonly LixKeyValueOption[] {
  if (keyValues === undefined) return []
  if (!Array.isArray(keyValues)) throw optionInvalid("keyValues", "keyValues is no array")
  for (const [index, keyValue] of (keyValues as readonly LixKeyValueOption[]).entries()) {
    const field = `keyValues[${index}]`
    if (typeof keyValue !== "object" || keyValue === null) throw optionInvalid(field, `${field} is no object`)
    onlyKnown(keyValue, ["key", "value", "lixcol_version_id", "lixcol_untracked"], `${field}.`)
    if (typeof keyValue.key !== "string" || keyValue.key === "") throw optionInvalid(`${field}.key`, `${field}.key is no text, or empty`)
    if (keyValue.value === undefined) throw optionInvalid(`${field}.value`, `${field}.value is undefined; use null`)
  }
  return keyValues
}

/** Refuses what an object has beside the known. */
export function onlyKnown(options: object, known: readonly string[], prefix = ""): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown !== undefined) throw optionInvalid(`${prefix}${unknown}`, `there is no option ${prefix}${unknown}; there are: ${known.join(", ")}`)
}

export function optionInvalid(subject: string, message: string): EngineError {
  return new EngineError("INVALID", "OPTION_INVALID", message, { subject })
}

function engineOf(options: OpenLixOptions): LixEngine {
  if (typeof options !== "object" || options === null) throw optionInvalid("options", "the options are no object")
  const { engine, providePlugins } = options
  if (engine === undefined) return providePlugins ? createMainMemoryEngine() : defaultEngine()
  if (typeof engine?.exec !== "function" || typeof engine.status !== "function") throw optionInvalid("engine", "engine is no engine")
  return engine
}

function settingsOf(options: OpenLixOptions): OpenLixOptions {
  if ("storage" in options) throw optionInvalid("storage", "there is no option storage; pass an engine that stores: createWorkerOpfsEngine({ path })")
  onlyKnown(options, ["engine", "blob", "account", "keyValues", "providePlugins"])
  const { account, providePlugins } = options
  if (account !== undefined) {
    if (typeof account !== "object" || account === null) throw optionInvalid("account", "account is no object")
    onlyKnown(account, ["id", "name"], "account.")
    for (const name of ["id", "name"] as const) {
      if (typeof account[name] !== "string" || account[name] === "") {
        throw optionInvalid(`account.${name}`, `Missing required fields for state mutation: account.${name} is no text, or empty`)
      }
    }
  }
  keyValuesOf(options.keyValues)
  if (providePlugins !== undefined && !Array.isArray(providePlugins)) throw optionInvalid("providePlugins", "providePlugins is no array")
  return options
}

/** All events are asked for: of what the engine's own factory asked for nothing is lost. */
async function initOptions({ blob, keyValues, providePlugins }: OpenLixOptions): Promise<InitOptions> {
  const image = blob instanceof Blob ? await blob.arrayBuffer() : blob
  if (image?.byteLength === 0) throw new EngineError("CORRUPT", "IMAGE_INVALID", "blob is empty: no lix is", { subject: "blob" })
  return {
    lix: { keyValues: lixKeyValues(keyValuesOf(keyValues)) },
    events: ["commit", "plugin", "log"],
    commitDetail: "values",
    ...(image && { blob: image, openMode: "replace" }),
    ...(providePlugins && { providePlugins }),
  }
}

/** An engine that is open already has to be as we would have opened it. */
async function takeOver(engine: LixEngine, { blob, providePlugins }: OpenLixOptions): Promise<void> {
  // Waits for an init that is under way.
  if (engine.status().phase === "opening") await engine.exec("select 1")
  const { phase } = engine.status()
  if (phase !== "ready") throw new EngineError("LIFECYCLE", phase === "failed" ? "FAILED" : "CLOSED", `the engine is ${phase}`)
  for (const [name, value] of Object.entries({ blob, providePlugins })) {
    if (value !== undefined) throw optionInvalid(name, `the engine is initialised already; give ${name} to its init`)
  }
  const opened = OPENED.get(engine)
  if (!opened) throw optionInvalid("engine", "an engine that this package did not make has to be left to openLix to initialise")
  if (!opened.isLix) throw optionInvalid("engine", "the engine was initialised without a lix: use init({ lix: true, … }), or leave init to openLix")
  if (!opened.events.includes("commit") || opened.commitDetail !== "values") {
    throw optionInvalid("engine", 'the engine was initialised without the events of a lix: use init({ lix: true, events: ["commit"], commitDetail: "values" }), or leave init to openLix')
  }
}

/** Account first: who opens the lix is the author of its key values. */
async function setUp(engine: LixEngine, { account, keyValues }: OpenLixOptions): Promise<void> {
  const calls: { sql: string; params: unknown[] }[] = []
  if (account) calls.push({ sql: "select * from lix_use_account(?)", params: [JSON.stringify(account)] })
  if (keyValues?.length) {
    const key_values = keyValues.map(({ key, value, lixcol_version_id: version, lixcol_untracked: untracked }) => ({ key, value, version, untracked }))
    calls.push({ sql: "select * from lix_set_key_values(?)", params: [JSON.stringify({ key_values })] })
  }
  if (calls.length > 0) await engine.execBatch(calls)
}

function lixOf<Database>(engine: LixEngine): Lix<Database> {
  const db = new Kysely<Database>({ dialect: new LixDatabaseDialect(engine) })
  const untyped = db as unknown as Kysely<never>
  const observer = new Observer(engine, untyped)
  let closing: Promise<void> | undefined
  let plugins: Promise<readonly LixPlugin[]> | undefined
  const guard = () => {
    if (closing) throw new EngineError("LIFECYCLE", "CLOSED", "the lix is closed")
  }
  return {
    db,
    engine,
    hooks: createHooks(engine, guard),
    observe(query, options) {
      guard()
      return observer.observe(query, options)
    },
    plugin: {
      async getAll() {
        guard()
        plugins ??= Promise.all((OPENED.get(engine)?.plugins ?? []).map(pluginOf))
        return [...(await plugins)]
      },
    },
    async toBlob() {
      guard()
      return new Blob([await alone(engine, () => engine.export())])
    },
    close: () => (closing ??= close(engine, untyped, observer)),
  }
}

async function close(engine: LixEngine, db: Kysely<never>, observer: Observer): Promise<void> {
  observer.close()
  let timer: ReturnType<typeof setTimeout> | undefined
  const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, DRAIN_MS)))
  // Queries that wait for their turn come before this one.
  const drained = db.connection().execute(async () => {})
  await Promise.race([drained.catch(() => {}), patience])
  clearTimeout(timer)
  await engine.close()
}

/** The engine has loaded it: only this page may be unable to. */
async function pluginOf(plugin: LixPlugin | string, index: number): Promise<LixPlugin> {
  if (typeof plugin !== "string") return plugin
  try {
    const module = (await importText(plugin, String(index))) as { plugin?: LixPlugin; default?: LixPlugin }
    return (module.plugin ?? module.default)!
  } catch (error) {
    const { reason, message, subject } = error as PluginFailure
    throw new EngineError("PLUGIN", reason, message, { subject, cause: error })
  }
}

/** How long `close` waits for a transaction. One that waits for `close` itself would never end. */
const DRAIN_MS = 2_000
