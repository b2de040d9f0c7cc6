// What a plugin finds in a browser's worker and QuickJS lacks. `native` comes from globals.rs.
;(function (native) {
  "use strict"

  const define = (name, value) =>
    Object.defineProperty(globalThis, name, { value, writable: true, enumerable: false, configurable: true })

  const bytesOf = (source) =>
    source instanceof Uint8Array
      ? source
      : ArrayBuffer.isView(source)
        ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
        : new Uint8Array(source)

  class TextEncoder {
    get encoding() {
      return "utf-8"
    }
    encode(text = "") {
      return native.encode(String(text).toWellFormed())
    }
    encodeInto(text, target) {
      text = String(text).toWellFormed()
      let bytes = native.encode(text)
      let read = text.length
      if (bytes.length > target.length) {
        let end = target.length
        while (end > 0 && (bytes[end] & 0xc0) === 0x80) end -= 1
        bytes = bytes.subarray(0, end)
        read = native.decode(bytes, false).length
      }
      target.set(bytes)
      return { read, written: bytes.length }
    }
  }

  class TextDecoder {
    #isFatal
    #keepsMark
    // Of a stream: the begin of a character, and whether there was anything before it.
    #begun = new Uint8Array(0)
    #isWithin = false

    constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
      const name = String(label).trim().toLowerCase()
      if (!["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"].includes(name)) {
        throw new RangeError(`The encoding '${label}' is not offered here; utf-8 is`)
      }
      this.#isFatal = Boolean(fatal)
      this.#keepsMark = Boolean(ignoreBOM)
    }
    get encoding() {
      return "utf-8"
    }
    get fatal() {
      return this.#isFatal
    }
    get ignoreBOM() {
      return this.#keepsMark
    }
    decode(source = new Uint8Array(0), { stream = false } = {}) {
      let bytes = bytesOf(source)
      const isWithin = this.#isWithin
      if (this.#begun.length > 0) {
        const whole = new Uint8Array(this.#begun.length + bytes.length)
        whole.set(this.#begun)
        whole.set(bytes, this.#begun.length)
        bytes = whole
        this.#begun = new Uint8Array(0)
      }
      if (stream) {
        const end = bytes.length - native.incomplete(bytes)
        this.#begun = bytes.slice(end)
        bytes = bytes.subarray(0, end)
      }
      this.#isWithin = stream && (isWithin || bytes.length > 0)
      const hasMark = !isWithin && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
      return native.decode(hasMark && !this.#keepsMark ? bytes.subarray(3) : bytes, this.#isFatal)
    }
  }

  const shown = (value) => {
    if (typeof value === "string") return value
    if (value instanceof Error) return `${value}\n${value.stack ?? ""}`.trimEnd()
    try {
      return JSON.stringify(value) ?? String(value)
    } catch {
      return String(value)
    }
  }
  const log = (...values) => native.log(values.map(shown).join(" ").toWellFormed())
  const quiet = () => {}
  const console = {
    log,
    debug: log,
    info: log,
    warn: log,
    error: log,
    trace: log,
    dir: (value) => log(value),
    table: (value) => log(value),
    assert: (condition, ...values) => condition || log("Assertion failed:", ...values),
    group: quiet,
    groupCollapsed: quiet,
    groupEnd: quiet,
    count: quiet,
    countReset: quiet,
    time: quiet,
    timeLog: quiet,
    timeEnd: quiet,
    clear: quiet,
  }

  const INTEGERS = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array,
    BigUint64Array,
  ]
  const crypto = {
    getRandomValues(array) {
      if (!INTEGERS.some((kind) => array instanceof kind)) {
        throw new DOMException("random values need an array of integers", "TypeMismatchError")
      }
      if (array.byteLength > 65536) {
        throw new DOMException("at most 65536 bytes at once", "QuotaExceededError")
      }
      new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(native.random(array.byteLength))
      return array
    },
    randomUUID() {
      const bytes = native.random(16)
      bytes[6] = (bytes[6] & 0x0f) | 0x40
      bytes[8] = (bytes[8] & 0x3f) | 0x80
      const hex = bytes.toHex()
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")
    },
  }

  const uncloneable = (what) => new DOMException(`${what} could not be cloned`, "DataCloneError")
  const copyOf = (value, seen) => {
    if (typeof value === "function" || typeof value === "symbol") throw uncloneable(String(value))
    if (typeof value !== "object" || value === null) return value
    if (seen.has(value)) return seen.get(value)
    const keep = (copy) => {
      seen.set(value, copy)
      return copy
    }
    if (Array.isArray(value)) {
      const copy = keep(new Array(value.length))
      for (const key of Object.keys(value)) copy[key] = copyOf(value[key], seen)
      return copy
    }
    if (value instanceof Date) return keep(new Date(value.getTime()))
    if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags))
    if (value instanceof ArrayBuffer) return keep(value.slice(0))
    if (value instanceof DataView) {
      return keep(new DataView(copyOf(value.buffer, seen), value.byteOffset, value.byteLength))
    }
    if (ArrayBuffer.isView(value)) {
      return keep(new value.constructor(copyOf(value.buffer, seen), value.byteOffset, value.length))
    }
    if (value instanceof Map) {
      const copy = keep(new Map())
      for (const [key, item] of [...value]) copy.set(copyOf(key, seen), copyOf(item, seen))
      return copy
    }
    if (value instanceof Set) {
      const copy = keep(new Set())
      for (const item of [...value]) copy.add(copyOf(item, seen))
      return copy
    }
    if (value instanceof Error) {
      const kinds = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }
      const copy = keep(new (kinds[value.name] ?? Error)(value.message))
      if (typeof value.stack === "string") copy.stack = value.stack
      if ("cause" in value) copy.cause = copyOf(value.cause, seen)
      return copy
    }
    for (const kind of [Boolean, Number, String, BigInt]) {
      if (value instanceof kind) return keep(Object(value.valueOf()))
    }
    for (const kind of [Promise, WeakMap, WeakSet, WeakRef]) {
      if (value instanceof kind) throw uncloneable(`#<${kind.name}>`)
    }
    const copy = keep({})
    for (const key of Object.keys(value)) {
      Object.defineProperty(copy, key, {
        value: copyOf(value[key], seen),
        writable: true,
        enumerable: true,
        configurable: true,
      })
    }
    return copy
  }
  const structuredClone = (value, { transfer = [] } = {}) => {
    if (transfer.length > 0) throw uncloneable("what is to be transferred")
    return copyOf(value, new Map())
  }

  const noTimer = (name) =>
    function () {
      throw new Error(`${name} is not offered to plugins: a plugin is synchronous, nothing of it runs later`)
    }

  define("self", globalThis)
  define("TextEncoder", TextEncoder)
  define("TextDecoder", TextDecoder)
  define("console", console)
  define("crypto", crypto)
  define("structuredClone", structuredClone)
  define("setTimeout", noTimer("setTimeout"))
  define("setInterval", noTimer("setInterval"))
  define("clearTimeout", quiet)
  define("clearInterval", quiet)
})
