/**
 * Loads plugins where the engine runs: a text becomes a module, a module a plugin that can be called.
 *
 * Guarantee: loading ends, one way or the other, unless the module holds up the thread; then whoever watches
 * that thread knows which plugin it was. The code that runs plugins is itself loaded only when there are some.
 */

import type { LixPlugin } from "./plugins/plugin.js"
import type { PluginReason, PluginRuntime } from "./plugins/runtime.js"
import { later } from "./schedule.js"

/** A plugin to load. */
export interface PluginSource {
  /** Empty: whatever the code says. */
  readonly key: string
  /** The text of a module; undefined: the loader has a plugin of that key. */
  readonly code: string | undefined
}

/** What a shell lends the engine to load plugins with. */
export interface PluginLoader {
  /** There may be plugins that need no code. */
  readonly hasOwn: boolean
  /** Rejects with a {@link PluginFailure}, or with an error of the runtime's that has the same members. */
  load(sources: readonly PluginSource[], timeoutMs: number): Promise<PluginRuntime>
}

export interface PluginLoaderOptions {
  /** Plugins that are here already, found by their key; asked for anew for each `load`. */
  readonly own?: (() => readonly LixPlugin[]) | undefined
  /** Told which plugin's code is about to run (its key, or its index), and null when it is done. */
  readonly watch?: ((plugin: string | null) => void) | undefined
}

/** Why a plugin cannot be loaded, in the words of the protocol's error registry. */
export class PluginFailure extends Error {
  constructor(
    readonly reason: PluginReason,
    message: string,
    readonly subject: string,
    cause?: unknown,
  ) {
    super(message, { cause })
  }
}

export function createPluginLoader({ own, watch }: PluginLoaderOptions = {}): PluginLoader {
  async function moduleOf({ key, code }: PluginSource, index: number, timeoutMs: number): Promise<unknown> {
    const subject = key || String(index)
    if (code === undefined) {
      const found = own?.().find((plugin) => plugin.key === key)
      if (!found) throw new PluginFailure("PLUGIN_LOAD", `there is no plugin ${key}`, subject)
      return found
    }
    watch?.(subject)
    try {
      return await within(timeoutMs, importText(code, subject), subject)
    } finally {
      watch?.(null)
    }
  }

  return {
    hasOwn: own !== undefined,
    async load(sources, timeoutMs) {
      const coming = importRuntime()
      coming.catch(() => {})
      const modules: unknown[] = []
      // One behind the other, so that it is known whose code runs.
      for (const [index, source] of sources.entries()) modules.push(await moduleOf(source, index, timeoutMs))
      const { createPluginRuntime } = await coming
      const runtime = createPluginRuntime(modules)
      return watch ? watched(runtime, watch) : runtime
    },
  }
}

/** A URL that bundlers know to be a file's, and no import that they would want to bundle: a worker's bundle is one file for most. */
async function importRuntime(): Promise<typeof import("./plugins/runtime.js")> {
  const url = new URL("./plugins/runtime.js", import.meta.url).href
  try {
    return (await importUrl(url)) as typeof import("./plugins/runtime.js")
  } catch (cause) {
    throw new PluginFailure("PLUGIN_LOAD", `the code that runs plugins cannot be loaded from ${url}: ${describe(cause)}`, "", cause)
  }
}

/** The module that a text is. Rejects with a {@link PluginFailure}. */
export async function importText(code: string, subject: string): Promise<unknown> {
  // A byte order mark is no JavaScript. The name is for debuggers and stack traces.
  const text = `${code.replace(/^\uFEFF/, "")}\n//# sourceURL=lix-plugin-${encodeURIComponent(subject)}.js`
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }))
  const forbidden = listenForViolation()
  try {
    return await importFrom(url, text)
  } catch (cause) {
    const why = `plugin ${subject} cannot be loaded: ${describe(cause)}`
    const hint = (await forbidden.happened()) || (NOT_FETCHED.test(why) && !HAS_IMPORTS.test(text)) ? POLICY : HAS_IMPORTS.test(text) ? BUNDLE : ""
    throw new PluginFailure("PLUGIN_LOAD", why + hint, subject, cause)
  } finally {
    forbidden.stop()
    URL.revokeObjectURL(url)
  }
}

async function importFrom(url: string, text: string): Promise<unknown> {
  try {
    return await importUrl(url)
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code !== "ERR_UNSUPPORTED_ESM_URL_SCHEME") throw error
  }
  // Node knows no blob: here. Numbered, since a module of a text that was there before would be that module again.
  return importUrl(`data:text/javascript;base64,${base64Of(text)}#${++modules}`)
}

/** Bundlers are told to leave it alone; scripts/build.js looks for exactly one. */
function importUrl(url: string): Promise<unknown> {
  return import(/* @vite-ignore */ /* webpackIgnore: true */ url)
}

function base64Of(text: string): string {
  const { Buffer } = globalThis as unknown as { Buffer: { from(text: string): { toString(encoding: "base64"): string } } }
  return Buffer.from(text).toString("base64")
}

/** What the import itself rejects with does not say so. Firefox does not say so at all. */
function listenForViolation() {
  let violated = false
  const listener = (event: Event) => {
    const { blockedURI = "" } = event as Partial<SecurityPolicyViolationEvent>
    violated ||= blockedURI.startsWith("blob")
  }
  const target = globalThis as Partial<Pick<EventTarget, "addEventListener" | "removeEventListener">>
  target.addEventListener?.("securitypolicyviolation", listener)
  return {
    /** The event is a task of its own. */
    async happened(): Promise<boolean> {
      if (!violated) await new Promise<void>(later)
      return violated
    },
    stop: () => target.removeEventListener?.("securitypolicyviolation", listener),
  }
}

function within<T>(timeoutMs: number, promise: Promise<T>, subject: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new PluginFailure("PLUGIN_TIMEOUT", `plugin ${subject} was not loaded after ${timeoutMs} ms`, subject))
    }, timeoutMs)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** Calls nest when a plugin reads what another one makes; the outermost is the one that takes the time. */
function watched(runtime: PluginRuntime, watch: (plugin: string | null) => void): PluginRuntime {
  const keys = (JSON.parse(runtime.manifests()) as { key: string }[]).map(({ key }) => key)
  let depth = 0
  const call = <T>(index: number, run: () => T): T => {
    if (depth++ === 0) watch(keys[index] ?? null)
    try {
      return run()
    } finally {
      if (--depth === 0) watch(null)
    }
  }
  return {
    ...runtime,
    detectChanges: (index, ...rest) => call(index, () => runtime.detectChanges(index, ...rest)),
    applyChanges: (index, ...rest) => call(index, () => runtime.applyChanges(index, ...rest)),
  }
}

/** Without the URL that the module had, which tells nothing and in Node is the module itself. */
function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return text.replace(/(blob:|data:text\/javascript)[^\s"']*/g, "the plugin").replace(/\.$/, "")
}

let modules = 0
const POLICY =
  ". The Content-Security-Policy must allow modules from blob: URLs: add blob: to its script-src. For an engine in a worker that is the policy which the worker's own script is served with"
const BUNDLE = ". A plugin is one module without imports: bundle what it uses"
/** The words of the three browsers. The bytes are here, so it is no network that failed. */
const NOT_FETCHED = /dynamically imported module|module script failed/
/** Good enough for a hint. */
const HAS_IMPORTS = /(^|[;\s}])(import\s*(["'{*]|\w+[\s,])|export\s[^;]*?\sfrom\s*["'])/
