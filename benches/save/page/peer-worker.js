/**
 * The peers' worker: the official build of SQLite and its object API, as its documentation shows them,
 * and three ways to keep a database in OPFS.
 */

import { serveCalls } from "/shared/serve-calls.js"
import sqlite3InitModule from "/sqlite-wasm/index.mjs"

serveCalls(sqlite3InitModule().then(callsOf))

function callsOf(sqlite3) {
  let store

  return {
    async open({ kind, path }) {
      store = await stores[kind](sqlite3, path)
    },

    exec: ({ sql, params }) => store.db.exec({ sql, bind: params, rowMode: "object", returnValue: "resultRows" }),

    save: () => store.save(),

    close: () => store.close(),
  }
}

const stores = {
  /** In memory; a save writes all of it, and opening reads all of it. */
  async straight({ oo1, capi, wasm }, path) {
    const root = await navigator.storage.getDirectory()
    const file = await root.getFileHandle(path, { create: true })
    const image = new Uint8Array(await (await file.getFile()).arrayBuffer())
    const db = new oo1.DB(":memory:")
    if (image.byteLength > 0) {
      const bytes = wasm.allocFromTypedArray(image)
      const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE
      db.checkRc(capi.sqlite3_deserialize(db.pointer, "main", bytes, image.byteLength, image.byteLength, flags))
    }
    return {
      db,
      async save() {
        const writable = await file.createWritable()
        await writable.write(capi.sqlite3_js_db_export(db))
        await writable.close()
      },
      close: () => db.close(),
    }
  },

  /** SQLite's own files in OPFS; every commit is stored. */
  async sahpool(sqlite3, path) {
    const pool = await sqlite3.installOpfsSAHPoolVfs({ name: path, directory: path })
    const db = new pool.OpfsSAHPoolDb("/database")
    return {
      db,
      save() {},
      close() {
        db.close()
        pool.pauseVfs()
      },
    }
  },

  /** The same in write-ahead-log mode, each commit flushed (`synchronous` is FULL by default). */
  async wal(sqlite3, path) {
    const store = await stores.sahpool(sqlite3, path)
    // The exclusive lock does without shared memory, which this VFS does not have.
    store.db.exec("pragma locking_mode = exclusive")
    const mode = store.db.selectValue("pragma journal_mode = wal")
    if (mode !== "wal") throw new Error(`the journal mode is ${mode}`)
    return store
  },
}
