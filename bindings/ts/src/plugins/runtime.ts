/**
 * Runs plugins: the JavaScript between an engine and its plugins, the same text in a worker, in a page, in Node
 * and in the native engine's interpreter. It therefore uses nothing but the language.
 *
 * Guarantee: no plugin is trusted. What one exports and returns is checked before the engine sees it, and each
 * error says which plugin did what: its `reason` is the protocol's, its `subject` the plugin's key, or its index
 * where no key is known.
 */

import type { ApplyChangesInput, DetectChangesInput, PluginChange, PluginFile } from "./plugin.js"
import { createQuerySync } from "./query-sync.js"

/** Plugins that are loaded, by their index. Strings are JSON, as the engine's `Plugins` trait documents it. */
export interface PluginRuntime {
  /** `[{ key, detectChangesGlob?, detects, applies }, …]` */
  manifests(): string
  /** What `querySync` reads from. It throws objects with `reason` and `message`; anything else ends every call with it. */
  connect(query: RunQuery): void
  /** `{ schemas: [schema, …], changes: [[index in schemas, entity_id, snapshot or null], …] }` */
  detectChanges(index: number, before: string | undefined, beforeData: Uint8Array | undefined, after: string, afterData: Uint8Array): string
  /** The file's bytes. They may be the plugin's own: whoever calls copies them. */
  applyChanges(index: number, file: string, changes: string): Uint8Array
}

/**
 * Runs one statement that only reads. `params` is a JSON array, the answer `{ columns: […], rows: [[…], …] }`; an
 * integer beyond 2^53 is `{ integer: "…" }` there, a blob `{ base64: "…" }`.
 */
export type RunQuery = (sql: string, params: string) => string

export type PluginReason = "PLUGIN_LOAD" | "PLUGIN_INVALID" | "PLUGIN_DUPLICATE" | "PLUGIN_ASYNC" | "PLUGIN_FAILED" | "PLUGIN_TIMEOUT"

/** All that this module throws. */
export class PluginError extends Error {
  readonly reason: PluginReason
  readonly subject: string

  constructor(reason: PluginReason, message: string, subject: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.reason = reason
    this.subject = subject
  }
}

/** Modules' namespaces, or plugins themselves, in the order of their indices. */
export function createPluginRuntime(modules: readonly unknown[]): PluginRuntime {
  const plugins = modules.map(pluginOf)
  plugins.forEach(({ key }, index) => {
    const first = plugins.findIndex((other) => other.key === key)
    if (first !== index) throw new PluginError("PLUGIN_DUPLICATE", `plugins ${first} and ${index} have the same key, ${key}`, key)
  })

  let query: RunQuery | undefined
  // The engine broke while a plugin was reading: no plugin's failure, and nothing that one may catch.
  let defect: { readonly error: unknown } | undefined
  // A plugin that reads a file's data makes another one apply; so calls nest.
  let depth = 0
  const querySync = createQuerySync((sql, params) => {
    if (depth === 0 || !query) throw new Error("querySync works only while the plugin is being called")
    try {
      return query(sql, params)
    } catch (error) {
      if (typeof (error as { reason?: unknown } | null)?.reason !== "string") defect = { error }
      throw error
    }
  })

  /** Whatever goes wrong in there is the plugin's failure. */
  function call<T>({ key }: Loaded, run: () => T): T {
    depth++
    try {
      const result = run()
      if (defect) throw defect.error
      return result
    } catch (error) {
      if (defect) throw defect.error
      throw error instanceof PluginError ? error : new PluginError("PLUGIN_FAILED", messageOf(error), key, error)
    } finally {
      depth--
    }
  }

  function pluginAt(index: number, method: "detectChanges" | "applyChanges"): Loaded {
    const plugin = plugins[index]
    if (!plugin) throw new PluginError("PLUGIN_INVALID", `there is no plugin ${index}`, String(index))
    if (!plugin[method]) throw new PluginError("PLUGIN_INVALID", `the plugin has no ${method}`, plugin.key)
    return plugin
  }

  return {
    manifests: () =>
      JSON.stringify(
        plugins.map(({ key, detectChangesGlob, detectChanges, applyChanges }) => ({ key, detectChangesGlob, detects: !!detectChanges, applies: !!applyChanges })),
      ),

    connect(newQuery) {
      query = newQuery
    },

    detectChanges(index, before, beforeData, after, afterData) {
      const plugin = pluginAt(index, "detectChanges")
      return call(plugin, () => {
        const input: DetectChangesInput = {
          ...(before !== undefined && { before: fileOf(before, beforeData ?? new Uint8Array(0)) }),
          after: fileOf(after, afterData),
          querySync,
        }
        const detected = plugin.detectChanges!(input)
        refusePromise(detected, "detectChanges", plugin.key)
        return changesJson(detected, plugin.key)
      })
    },

    applyChanges(index, file, changes) {
      const plugin = pluginAt(index, "applyChanges")
      return call(plugin, () => {
        const input: ApplyChangesInput = { file: JSON.parse(file) as ApplyChangesInput["file"], changes: changesOf(changes) }
        const applied = plugin.applyChanges!(input)
        refusePromise(applied, "applyChanges", plugin.key)
        if (!isObject(applied)) throw invalid(plugin.key, `applyChanges returned ${describe(applied)}, not an object with fileData`)
        const { fileData } = applied
        if (!isBytes(fileData)) throw invalid(plugin.key, `applyChanges returned fileData that is ${describe(fileData)}, not a Uint8Array`)
        return fileData
      })
    },
  }
}

/** A plugin whose members have the right types; its methods are bound to it. */
interface Loaded {
  readonly key: string
  readonly detectChangesGlob: string | undefined
  readonly detectChanges: ((input: DetectChangesInput) => unknown) | undefined
  readonly applyChanges: ((input: ApplyChangesInput) => unknown) | undefined
}

function pluginOf(module: unknown, index: number): Loaded {
  let subject = String(index)
  try {
    const plugin = exported(module, subject)
    const { key, detectChangesGlob } = plugin
    if (key === undefined) throw invalid(subject, `plugin ${index} has no key`)
    if (typeof key !== "string") throw invalid(subject, `the key of plugin ${index} is ${describe(key)}, not a string`)
    if (key === "") throw invalid(subject, `the key of plugin ${index} is empty`)
    subject = key
    // JavaScript's authors write null where they mean nothing.
    if (detectChangesGlob != null && typeof detectChangesGlob !== "string") throw invalid(key, `detectChangesGlob is ${describe(detectChangesGlob)}, not a string`)
    return {
      key,
      detectChangesGlob: detectChangesGlob ?? undefined,
      detectChanges: methodOf(plugin, "detectChanges", key),
      applyChanges: methodOf(plugin, "applyChanges", key),
    }
  } catch (error) {
    // A getter threw.
    throw error instanceof PluginError ? error : new PluginError("PLUGIN_INVALID", messageOf(error), subject, error)
  }
}

/** What a module exports as `plugin` or as `default`; a plugin itself as it is. */
function exported(module: unknown, subject: string): Anything {
  if (!isObject(module)) throw invalid(subject, `plugin ${subject} is ${describe(module)}, not an object`)
  const isModule = Object.prototype.toString.call(module) === "[object Module]"
  if (!isModule && module["key"] !== undefined) return module
  const plugin = module["plugin"] ?? module["default"]
  if (plugin === undefined) {
    if (!isModule) return module
    const names = Object.keys(module)
    const others = names.length > 0 ? `; it exports ${names.join(", ")}` : ""
    throw invalid(subject, `the module of plugin ${subject} exports neither plugin nor default${others}`)
  }
  if (!isObject(plugin)) throw invalid(subject, `the module of plugin ${subject} exports ${describe(plugin)}, not a plugin`)
  return plugin
}

function methodOf(plugin: Anything, name: string, key: string): ((input: unknown) => unknown) | undefined {
  const method = plugin[name]
  if (method == null) return undefined
  if (typeof method !== "function") throw invalid(key, `${name} is ${describe(method)}, not a function`)
  return (input) => method.call(plugin, input) as unknown
}

function fileOf(descriptor: string, data: Uint8Array): PluginFile {
  const { id, path, metadata, hidden } = JSON.parse(descriptor) as Omit<PluginFile, "data">
  return { id, path, data, metadata, hidden }
}

function changesOf(json: string): PluginChange[] {
  const { file_id, plugin_key, version_id, rows } = JSON.parse(json) as EntityRows
  return rows.map(([entity_id, schema_key, schema_version, created_at, id, snapshot_content]) => ({
    id, entity_id, schema_key, schema_version, file_id, plugin_key, snapshot_content, version_id, created_at,
  }))
}

interface EntityRows {
  file_id: string
  plugin_key: string
  version_id: string
  rows: [entityId: string, schemaKey: string, schemaVersion: string, createdAt: string, id: string, snapshot: PluginChange["snapshot_content"]][]
}

/** Each schema once, however many entities have it. */
function changesJson(detected: unknown, key: string): string {
  if (!Array.isArray(detected)) throw invalid(key, `detectChanges returned ${describe(detected)}, not an array`)
  const schemas = new Map<string, number>()
  const seen = new Map<object, number>()
  const indexOf = (schema: object, at: string): number => {
    let index = seen.get(schema)
    if (index === undefined) {
      const text = jsonOf(schema, at, key)
      index = schemas.get(text) ?? schemas.size
      schemas.set(text, index)
      seen.set(schema, index)
    }
    return index
  }
  // Not `map`, which would skip the holes of the array.
  const changes: [number, string, object | null][] = []
  for (let index = 0; index < detected.length; index++) {
    const change: unknown = detected[index]
    const at = `changes[${index}]`
    if (!isObject(change)) throw invalid(key, `${at} is ${describe(change)}, not an object`)
    const { entity_id, schema, snapshot_content } = change
    if (typeof entity_id !== "string") throw invalid(key, `${at}.entity_id is ${describe(entity_id)}, not a string`)
    if (entity_id === "") throw invalid(key, `${at}.entity_id is empty`)
    if (!isObject(schema)) throw invalid(key, `${at}.schema is ${describe(schema)}, not an object`)
    if (snapshot_content !== null && !isObject(snapshot_content)) throw invalid(key, `${at}.snapshot_content is ${describe(snapshot_content)}, neither an object nor null`)
    // It could turn into null, and the entity be gone.
    if (typeof snapshot_content?.["toJSON"] === "function") throw invalid(key, `${at}.snapshot_content is ${describe(snapshot_content)}, not a plain object`)
    changes.push([indexOf(schema, `${at}.schema`), entity_id, snapshot_content])
  }
  return `{"schemas":[${[...schemas.keys()].join(",")}],"changes":${allJson(changes, key)}}`
}

/** All at once, which is quick; one by one only to find out whose fault it is. */
function allJson(changes: readonly [number, string, object | null][], key: string): string {
  try {
    return JSON.stringify(changes)
  } catch (error) {
    changes.forEach(([, , snapshot], index) => jsonOf(snapshot, `changes[${index}].snapshot_content`, key))
    throw error
  }
}

function jsonOf(value: object | null, at: string, key: string): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (error) {
    throw invalid(key, `${at} is no JSON: ${messageOf(error)}`)
  }
  if (text === undefined) throw invalid(key, `${at} is no JSON`)
  return text
}

function refusePromise(result: unknown, method: string, key: string): void {
  if (!isObject(result) || typeof result["then"] !== "function") return
  // Nobody is going to hear how it ends.
  result["then"](() => {}, () => {})
  throw new PluginError("PLUGIN_ASYNC", `${method} returned a promise; plugins are synchronous`, key)
}

function invalid(subject: string, message: string): PluginError {
  return new PluginError("PLUGIN_INVALID", message, subject)
}

function isObject(value: unknown): value is Anything {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** Also one of another realm, a frame's for example. */
function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && (value as Uint8Array)[Symbol.toStringTag] === "Uint8Array"
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return String(value)
  if (Array.isArray(value)) return "an array"
  if (typeof value !== "object") return `a ${typeof value}`
  const name = (value as { constructor?: { name?: unknown } }).constructor?.name
  return typeof name === "string" && name !== "" && name !== "Object" ? `an object of class ${name}` : "an object"
}

/** Anything can be thrown. */
function messageOf(error: unknown): string {
  try {
    const message = isObject(error) ? error["message"] : undefined
    return typeof message === "string" && message !== "" ? message : String(error)
  } catch {
    return "it threw something that has no text"
  }
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- a plugin's members have any type
type Anything = { [name: string]: any }
