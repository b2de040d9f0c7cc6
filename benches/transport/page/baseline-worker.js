/**
 * The baseline's worker: the official build of SQLite and its object API, as its documentation shows
 * them, behind one message per call.
 */

import { serveCalls } from "/shared/serve-calls.js"
import sqlite3InitModule from "/sqlite-wasm/index.mjs"

serveCalls(sqlite3InitModule().then(callsOf))

function callsOf({ oo1, capi, wasm }) {
  let db

  function exec(sql, params) {
    return db.exec({ sql, bind: params, rowMode: "object", returnValue: "resultRows" })
  }

  return {
    load() {},

    open({ image }) {
      db = new oo1.DB(":memory:")
      if (image === undefined) return
      const bytes = wasm.allocFromTypedArray(image)
      const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE
      db.checkRc(capi.sqlite3_deserialize(db.pointer, "main", bytes, image.byteLength, image.byteLength, flags))
    },

    exec: ({ sql, params }) => exec(sql, params),

    batch: ({ statements }) => statements.map(({ sql, params }) => exec(sql, params)),

    export: () => capi.sqlite3_js_db_export(db),
  }
}
