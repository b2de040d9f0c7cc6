/**
 * The baseline's worker: the official build of SQLite and its object API, as its documentation shows
 * them, behind one message per call.
 */

import sqlite3InitModule from "/sqlite-wasm/index.mjs"

const loading = sqlite3InitModule()
let sqlite3
let db

const calls = {
  load() {},

  open({ image }) {
    db = new sqlite3.oo1.DB(":memory:")
    if (image === undefined) return
    const { capi, wasm } = sqlite3
    const bytes = wasm.allocFromTypedArray(image)
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE
    db.checkRc(capi.sqlite3_deserialize(db.pointer, "main", bytes, image.byteLength, image.byteLength, flags))
  },

  exec: ({ sql, params }) => exec(sql, params),

  batch: ({ statements }) => statements.map(({ sql, params }) => exec(sql, params)),

  export: () => sqlite3.capi.sqlite3_js_db_export(db),
}

function exec(sql, params) {
  return db.exec({ sql, bind: params, rowMode: "object", returnValue: "resultRows" })
}

onmessage = async ({ data: { id, call, ...options } }) => {
  try {
    sqlite3 ??= await loading
    const result = calls[call](options)
    if (result instanceof Uint8Array) postMessage({ id, result }, [result.buffer])
    else postMessage({ id, result })
  } catch (error) {
    postMessage({ id, error: { name: error.name, message: error.message } })
  }
}
